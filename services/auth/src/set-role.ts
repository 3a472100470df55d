import { type AdminCall, administeredBy, append, covers, Problem, Reason, reasonGiven } from '@gatehouse/kit';
import type { Role } from '@gatehouse/schema';
import { sql } from 'kysely';
import Type from 'typebox';
import { RoleName } from './account.ts';
import { isLastAdministrator, lockParties, type Refused, refused } from './administration.ts';
import { type AuthTransaction, route } from './context.ts';
import { syncUser } from './sync.ts';
import { readUser, UserParams, UserView } from './user-view.ts';

export const setRole = route({
  method: 'POST',
  path: '/api/admin/users/:id/role',
  access: 'users.grant',
  summary: 'Give a user a role',
  description: 'Acts on the next request of the user. Nobody grants a role above the own.',
  params: UserParams,
  body: Type.Object({ role: RoleName, reason: Reason }, { additionalProperties: false }),
  answer: UserView,
  problems: ['reason_required', 'role_too_high', 'not_found', 'last_administrator', 'upstream_unavailable'],
  run: (ctx) => async (call) => {
    const reason = reasonGiven(call.body);
    const id = call.params.id.toLowerCase();
    const change = { id, role: call.body.role, reason };
    const outcome = await ctx.db.transaction().execute((tx) => changeRole(tx, call, change));
    if (outcome.outcome === 'refused') throw new Problem(outcome.code);
    ctx.relay.poke();
    const { traceparent } = call.trace;
    await syncUser(ctx, id, { reason: 'role_changed', actorId: call.principal.userId, traceparent });
    return readUser(ctx, call.principal, id);
  },
});

async function changeRole(
  tx: AuthTransaction,
  call: AdminCall,
  { id, role, reason }: { id: string; role: Role; reason: string },
): Promise<Refused | { readonly outcome: 'changed' | 'unchanged' }> {
  const parties = await lockParties(tx, call.principal, { id, reason, needs: 'users.grant' });
  if (parties.outcome === 'refused') return parties;
  const { actor, target } = parties;
  if (!covers(actor.role, role)) return refused('role_too_high');
  if (target.role === role) return { outcome: 'unchanged' };
  const lowered = !covers(role, target.role);
  if (lowered && (await isLastAdministrator(tx, parties))) return refused('last_administrator');
  await tx
    .updateTable('user_account')
    .set({ role, version: sql<number>`version + 1`, updated_at: sql<Date>`now()` })
    .where('id', '=', id)
    .execute();
  await append(tx, {
    type: 'admin.user.role_changed',
    tenant_id: target.tenant_id,
    aggregate: `user:${id}`,
    traceparent: call.trace.traceparent,
    data: { ...administeredBy(call, reason), user_id: id, before: target.role, after: role },
  });
  return { outcome: 'changed' };
}
