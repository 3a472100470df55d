import { may, type Principal, Problem, Reason, reasonOf, tenantScope, Uuid } from '@gatehouse/kit';
import { sql } from 'kysely';
import Type, { type Static } from 'typebox';
import { route, type TokenContext } from './context.ts';
import { causeOf } from './own-sessions.ts';
import { reaches } from './reach.ts';
import {
  type Cause,
  endSessions,
  type Scope,
  SESSIONS_PER_TRANSACTION,
  settle,
  tellCount,
  tellEach,
  within,
} from './revocation.ts';

const Body = Type.Object({
  tenant_id: Type.Optional(Uuid),
  user_id: Type.Optional(Uuid),
  reason: Reason,
  dry_run: Type.Optional(Type.Boolean({ description: 'Only count.' })),
  keep_own: Type.Optional(Type.Boolean({ description: 'Leave the session of this request alone.' })),
});

type Target = { readonly scope: Exclude<Scope, { of: 'session' }>; readonly tenantId: string | null };

/** Ends the sessions of a user, a tenant or everybody. */
export const adminRevokeAll = route({
  method: 'POST',
  path: '/api/admin/sessions/revoke-all',
  access: 'sessions.revoke',
  summary: 'End the sessions of a user, a tenant or everybody',
  description:
    'An administrator of a tenant reaches that tenant only, everybody needs a platform administrator, and nobody ends the sessions of one user whose role is above their own. The session of the request ends too, unless keep_own is true.',
  body: Body,
  answer: Type.Object({ count: Type.Integer() }),
  problems: ['reason_required', 'forbidden', 'role_too_high', 'not_found', 'database_unavailable'],
  run: (ctx) => async (call) => {
    const cause = causeOf(call, reasonOf(call.body));
    const target = await targetOf(ctx, call.principal, call.body);
    const except = call.body.keep_own === true ? call.principal.sessionId : null;
    if (call.body.dry_run === true) return { count: await countLive(ctx, target.scope, except) };
    return { count: await endAll(ctx, target, { ...cause, except }) };
  },
});

async function targetOf(
  ctx: TokenContext,
  principal: Principal,
  asked: Static<typeof Body>,
): Promise<Target> {
  const everywhere = may(principal, 'tenants.all');
  const tenantId = asked.tenant_id?.toLowerCase();
  // What is outside of one's tenant does not exist: 404, as for an id that nobody has.
  if (tenantId !== undefined && !everywhere && tenantId !== tenantScope(principal))
    throw new Problem('not_found');
  if (asked.user_id !== undefined) {
    const user = await ctx.db
      .selectFrom('subject')
      .select(['user_id', 'tenant_id', 'roles'])
      .where('user_id', '=', asked.user_id)
      .executeTakeFirst();
    const reachable = everywhere ? (tenantId ?? user?.tenant_id) : tenantScope(principal);
    if (user === undefined || user.tenant_id !== reachable) throw new Problem('not_found');
    if (!reaches(principal, user)) throw new Problem('role_too_high');
    return { scope: { of: 'user', userId: user.user_id }, tenantId: user.tenant_id };
  }
  if (tenantId === undefined) {
    if (!everywhere)
      throw new Problem('forbidden', {
        detail: 'Name your tenant_id; everybody needs a platform administrator.',
      });
    return { scope: { of: 'everybody' }, tenantId: null };
  }
  if (!may(principal, 'sessions.revoke_all')) throw new Problem('forbidden');
  const tenant = await ctx.db
    .selectFrom('tenant_state')
    .select('tenant_id')
    .where('tenant_id', '=', tenantId)
    .executeTakeFirst();
  if (tenant === undefined) throw new Problem('not_found');
  return { scope: { of: 'tenant', tenantId }, tenantId };
}

async function countLive(ctx: TokenContext, scope: Scope, except: string | null): Promise<number> {
  const { count } = await ctx.db
    .selectFrom('session')
    .select(sql<number>`count(*)`.as('count'))
    .where(within(scope, except))
    .executeTakeFirstOrThrow();
  return count;
}

async function endAll(
  ctx: TokenContext,
  { scope, tenantId }: Target,
  cause: Cause & { readonly except: string | null },
): Promise<number> {
  let count = 0;
  for (;;) {
    // Each transaction tells what it did itself: a crash between two of them leaves nothing unsaid.
    const ended = await ctx.db.transaction().execute(async (tx) => {
      const sessions = await endSessions(tx, ctx, scope, cause);
      if (scope.of === 'user') await tellEach(tx, sessions, cause);
      if (sessions.length > 0 || count === 0)
        await tellCount(tx, scope, sessions.length, { ...cause, tenantId });
      return sessions;
    });
    settle(ctx, ended);
    count += ended.length;
    if (ended.length < SESSIONS_PER_TRANSACTION) return count;
  }
}
