import { type AdminCall, Problem, Reason, reasonGiven } from '@gatehouse/kit';
import Type from 'typebox';
import { lockParties } from './administration.ts';
import { type AuthTransaction, route } from './context.ts';
import { forgetAttempts, liftLockout, tellStatus } from './lift-lockout.ts';
import { readUser, UserParams, UserView } from './user-view.ts';

/**
 * By the id of a user, not by an address: what was typed in vain into an address that nobody has locks nobody out, and
 * an administrator who could ask for it by address would learn whether it counts.
 */
export const resetLockout = route({
  method: 'POST',
  path: '/api/admin/users/:id/reset-lockout',
  access: 'users.unlock',
  summary: 'Lift the lockout after failed sign-ins',
  description: 'The failures counted so far are forgotten. A lock that an administrator set stays.',
  params: UserParams,
  body: Type.Object({ reason: Reason }, { additionalProperties: false }),
  answer: UserView,
  problems: ['reason_required', 'role_too_high', 'not_found'],
  run: (ctx) => async (call) => {
    const wanted = { id: call.params.id.toLowerCase(), reason: reasonGiven(call.body) };
    const outcome = await ctx.db.transaction().execute((tx) => reset(tx, call, wanted));
    if (outcome.outcome === 'refused') throw new Problem(outcome.code);
    ctx.relay.poke();
    if (outcome.lifted) await forgetAttempts(ctx, outcome.target);
    return readUser(ctx, call.principal, wanted.id);
  },
});

async function reset(
  tx: AuthTransaction,
  call: AdminCall,
  { id, reason }: { readonly id: string; readonly reason: string },
) {
  const parties = await lockParties(tx, call.principal, { id, reason, needs: 'users.unlock' });
  if (parties.outcome === 'refused') return parties;
  const { target } = parties;
  const lifted = await liftLockout(tx, call, target);
  // auth.lockout has no place for a reason, and lifting one leaves one (contract §10).
  if (lifted) await tellStatus(tx, call, { target, reason, before: lifted, after: target.status });
  return { outcome: 'done' as const, target, lifted };
}
