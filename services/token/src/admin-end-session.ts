import { type Principal, Problem, Reason, reasonOf, tenantScope, Uuid } from '@gatehouse/kit';
import Type from 'typebox';
import { route, type TokenContext } from './context.ts';
import { causeOf } from './own-sessions.ts';
import { reaches } from './reach.ts';
import { endSessions, settle, tellCount, tellEach } from './revocation.ts';

/** Ends one session of somebody else. */
export const adminEndSession = route({
  method: 'DELETE',
  path: '/api/admin/sessions/:id',
  access: 'sessions.revoke',
  summary: 'End one session of a user',
  description: 'Its refresh token is refused at once, its access tokens within a second.',
  params: Type.Object({ id: Uuid }),
  query: Type.Object({ reason: Reason }, { additionalProperties: false }),
  status: 204,
  answer: Type.Null(),
  problems: ['reason_required', 'not_found', 'role_too_high', 'database_unavailable'],
  run: (ctx) => async (call) => {
    const session = await reachable(ctx, call.principal, call.params.id);
    const cause = causeOf(call, reasonOf(call.query));
    const { user_id: userId, tenant_id: tenantId } = session;
    const ended = await ctx.db.transaction().execute(async (tx) => {
      const scope = { of: 'session', sessionId: session.id, userId } as const;
      const sessions = await endSessions(tx, ctx, scope, cause);
      await tellEach(tx, sessions, cause);
      if (sessions.length > 0)
        await tellCount(tx, { of: 'user', userId }, sessions.length, { ...cause, tenantId });
      return sessions;
    });
    // It had ended before, or another administrator was faster: there is no such live session.
    if (ended.length === 0) throw new Problem('not_found');
    settle(ctx, ended);
    return null;
  },
});

/** The session, if one may know of it. @throws Problem `not_found`, `role_too_high` */
async function reachable(ctx: TokenContext, principal: Principal, id: string) {
  const session = await ctx.db
    .selectFrom('session as s')
    .innerJoin('subject as u', 'u.user_id', 's.user_id')
    .select(['s.id', 's.user_id', 's.tenant_id', 'u.roles'])
    .where('s.id', '=', id)
    .where('s.revoked_at', 'is', null)
    .executeTakeFirst();
  const own = tenantScope(principal);
  if (session === undefined || (own !== undefined && session.tenant_id !== own))
    throw new Problem('not_found');
  if (!reaches(principal, session)) throw new Problem('role_too_high');
  return session;
}
