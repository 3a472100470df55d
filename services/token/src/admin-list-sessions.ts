import { Problem, page, pageOf, pageQuery, readPage, Time, tenantScope, Uuid } from '@gatehouse/kit';
import { type RawBuilder, type SqlBool, sql } from 'kysely';
import Type, { type Static } from 'typebox';
import { route, type TokenContext } from './context.ts';

const nullable = Type.Union([Type.String(), Type.Null()]);

const Session = Type.Object({
  session_id: Uuid,
  user_id: Uuid,
  tenant_id: Uuid,
  state: Type.Union([Type.Literal('live'), Type.Literal('revoked'), Type.Literal('expired')]),
  created_at: Time,
  last_used_at: {
    ...nullable,
    description: 'The last refresh; null when that is so long ago that it is forgotten.',
  },
  expires_at: Time,
  client_ip: nullable,
  user_agent: nullable,
  revoked_at: nullable,
  revoked_reason: nullable,
  current: Type.Boolean({ description: 'Whether it is the session of this request.' }),
});

const Query = Type.Object(
  {
    user_id: Type.Optional(Uuid),
    tenant_id: Type.Optional(Uuid),
    state: Type.Optional(
      Type.Union([Type.Literal('live'), Type.Literal('ended'), Type.Literal('all')], {
        description: 'live unless given; ended: revoked or expired.',
      }),
    ),
    ...pageQuery,
  },
  { additionalProperties: false },
);

/** Sessions of others, newest first: those of the own tenant, or of any for who reaches every tenant. */
export const adminListSessions = route({
  method: 'GET',
  path: '/api/admin/sessions',
  access: 'sessions.read',
  summary: 'Sessions of users: device, address, first and last use, how they ended',
  query: Query,
  answer: pageOf(Session),
  problems: ['bad_cursor', 'not_found', 'database_unavailable'],
  run:
    (ctx) =>
    async ({ principal, query }) => {
      const own = tenantScope(principal);
      const asked = query.tenant_id?.toLowerCase();
      // What is outside of one's tenant does not exist.
      if (own !== undefined && asked !== undefined && asked !== own) throw new Problem('not_found');
      const filters = {
        state: query.state ?? 'live',
        user: query.user_id?.toLowerCase(),
        tenant: own ?? asked,
      };
      const binding = { list: 'token.sessions.admin', tenantId: own, filters };
      const request = readPage(ctx.secrets.cursorKey, query, binding);
      const [at, id] = request.after ?? [];
      const after = request.after === undefined ? undefined : { at: String(at), id: String(id) };
      const rows = await search(ctx, { ...filters, after, limit: request.limit + 1 });
      return page(ctx.secrets.cursorKey, rows, {
        ...request,
        binding,
        position: (row) => [row.position, row.id],
        item: (row) => itemOf(row, principal.sessionId),
      });
    },
});

interface Row {
  readonly id: string;
  readonly user_id: string;
  readonly tenant_id: string;
  readonly client_ip: string | null;
  readonly user_agent: string | null;
  readonly created_at: Date;
  readonly expires_at: Date;
  readonly revoked_at: Date | null;
  readonly revoked_reason: string | null;
  readonly used_at: Date | null;
  readonly live: boolean;
  /** created_at to the microsecond, which a Date does not hold: the order of the list. */
  readonly position: string;
}

interface Wanted {
  readonly state: 'live' | 'ended' | 'all';
  readonly user: string | undefined;
  readonly tenant: string | undefined;
  readonly after: { readonly at: string; readonly id: string } | undefined;
  readonly limit: number;
}

// A session lives as long as its newest refresh token, and as long as itself; each order is that of an index.
async function search(ctx: TokenContext, { state, user, tenant, after, limit }: Wanted): Promise<Row[]> {
  const live = sql<SqlBool>`(s.revoked_at is null and s.expires_at > now() and coalesce(newest.expires_at > now(), false))`;
  const conditions: RawBuilder<SqlBool>[] = [sql`true`];
  if (user !== undefined) conditions.push(sql`s.user_id = ${user}::uuid`);
  if (tenant !== undefined) conditions.push(sql`s.tenant_id = ${tenant}::uuid`);
  if (after !== undefined)
    conditions.push(sql`(s.created_at, s.id) < (${after.at}::timestamptz, ${after.id}::uuid)`);
  if (state === 'live') conditions.push(sql`s.revoked_at is null`, live);
  if (state === 'ended') conditions.push(sql`not ${live}`);
  const { rows } = await sql<Row>`
    select s.id, s.user_id, s.tenant_id, s.client_ip, s.user_agent, s.created_at, s.expires_at, s.revoked_at,
      s.revoked_reason, newest.issued_at as used_at, ${live} as live,
      to_char(s.created_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as position
    from session s
    left join lateral (
      select issued_at, expires_at from refresh_token where family_id = s.id order by generation desc limit 1
    ) as newest on true
    where ${sql.join(conditions, sql` and `)}
    order by s.created_at desc, s.id desc limit ${limit}`.execute(ctx.db);
  return rows;
}

const itemOf = (row: Row, currentId: string): Static<typeof Session> => ({
  session_id: row.id,
  user_id: row.user_id,
  tenant_id: row.tenant_id,
  state: row.live ? 'live' : row.revoked_at === null ? 'expired' : 'revoked',
  created_at: row.created_at.toISOString(),
  last_used_at: row.used_at?.toISOString() ?? null,
  expires_at: row.expires_at.toISOString(),
  client_ip: row.client_ip,
  user_agent: row.user_agent,
  revoked_at: row.revoked_at?.toISOString() ?? null,
  revoked_reason: row.revoked_reason,
  current: row.id === currentId,
});
