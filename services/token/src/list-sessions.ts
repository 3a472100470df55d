import { type Principal, page, pageOf, pageQuery, readPage, Time, Uuid } from '@gatehouse/kit';
import { sql } from 'kysely';
import Type from 'typebox';
import { route } from './context.ts';

const nullable = Type.Union([Type.String(), Type.Null()]);
const Session = Type.Object({
  session_id: Uuid,
  created_at: Time,
  last_used_at: Time,
  expires_at: Time,
  client_ip: nullable,
  user_agent: nullable,
  current: Type.Boolean({ description: 'Whether it is the session of this request.' }),
});

/** The caller's own live sessions, the newest first. */
export const listSessions = route({
  method: 'GET',
  path: '/api/auth/sessions',
  access: 'user',
  summary: 'My sessions: device, address, first and last use',
  query: Type.Object(pageQuery),
  answer: pageOf(Session),
  problems: ['bad_cursor', 'database_unavailable'],
  run:
    (ctx) =>
    async ({ principal, query }) => {
      const binding = bindingOf(principal);
      const request = readPage(ctx.secrets.cursorKey, query, binding);
      const after = request.after?.[0];
      const rows = await ctx.db
        .selectFrom('session as s')
        // A session is used when it is refreshed: the newest token of the family says when, and until when it lives.
        .innerJoinLateral(
          (db) =>
            db
              .selectFrom('refresh_token')
              .select(['issued_at', 'expires_at'])
              .whereRef('family_id', '=', 's.id')
              .orderBy('generation', 'desc')
              .limit(1)
              .as('newest'),
          (join) => join.onTrue(),
        )
        .select(['s.id', 's.created_at', 'newest.issued_at', 's.expires_at', 's.client_ip', 's.user_agent'])
        .where('s.user_id', '=', principal.userId)
        .where('s.revoked_at', 'is', null)
        .where('s.expires_at', '>', sql<Date>`now()`)
        .where('newest.expires_at', '>', sql<Date>`now()`)
        .$if(typeof after === 'string', (some) => some.where('s.id', '<', String(after)))
        // Ids are UUID v7: their order is the order of creation.
        .orderBy('s.id', 'desc')
        .limit(request.limit + 1)
        .execute();
      return page(ctx.secrets.cursorKey, rows, {
        ...request,
        binding,
        position: (row) => [row.id],
        item: (row) => ({
          session_id: row.id,
          created_at: row.created_at.toISOString(),
          last_used_at: row.issued_at.toISOString(),
          expires_at: row.expires_at.toISOString(),
          client_ip: row.client_ip,
          user_agent: row.user_agent,
          current: row.id === principal.sessionId,
        }),
      });
    },
});

const bindingOf = ({ tenantId, userId }: Principal) => ({
  list: 'token.sessions',
  tenantId,
  filters: { user: userId },
});
