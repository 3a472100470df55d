import { type AdminCall, type Permission, Problem, Reason, reasonGiven } from '@gatehouse/kit';
import type { AccountStatus } from '@gatehouse/schema';
import { sql } from 'kysely';
import Type from 'typebox';
import { isLastAdministrator, lockParties, type Party, type Refused, refused } from './administration.ts';
import { type AuthTransaction, route } from './context.ts';
import { forgetAttempts, liftLockout, tellStatus } from './lift-lockout.ts';
import { syncUser } from './sync.ts';
import { readUser, UserParams, UserView } from './user-view.ts';

interface StatusChange {
  readonly to: AccountStatus;
  /** From which statuses; from others it is a `conflict`, so that nobody enables by unlocking. */
  readonly from: readonly AccountStatus[];
  readonly needs: Permission;
  /** Also lifts the lockout after failed sign-ins. */
  readonly liftsLockout?: true;
}

const lock: StatusChange = { to: 'locked', from: ['active'], needs: 'users.manage' };
const unlock: StatusChange = { to: 'active', from: ['locked'], needs: 'users.unlock', liftsLockout: true };
const disable: StatusChange = { to: 'disabled', from: ['active', 'locked'], needs: 'users.manage' };
const enable: StatusChange = { to: 'active', from: ['disabled'], needs: 'users.manage' };

export const lockUser = statusRoute('lock', lock, 'Lock a user; every session ends');
export const unlockUser = statusRoute('unlock', unlock, 'Lift a lock and the lockout after failed sign-ins');
export const disableUser = statusRoute('disable', disable, 'Disable a user; every session ends');
export const enableUser = statusRoute('enable', enable, 'Enable a disabled user');

function statusRoute(verb: string, change: StatusChange, summary: string) {
  return route({
    method: 'POST',
    path: `/api/admin/users/:id/${verb}`,
    access: change.needs,
    summary,
    params: UserParams,
    body: Type.Object({ reason: Reason }, { additionalProperties: false }),
    answer: UserView,
    problems: [
      'reason_required',
      'role_too_high',
      'not_found',
      'conflict',
      'last_administrator',
      'upstream_unavailable',
    ],
    run: (ctx) => async (call) => {
      const reason = reasonGiven(call.body);
      const id = call.params.id.toLowerCase();
      const outcome = await ctx.db
        .transaction()
        .execute((tx) => changeStatus(tx, call, { id, change, reason }));
      if (outcome.outcome === 'refused') throw new Problem(outcome.code);
      ctx.relay.poke();
      if (outcome.lifted) await forgetAttempts(ctx, outcome.target);
      const { traceparent } = call.trace;
      await syncUser(ctx, id, {
        reason: `account_${change.to}`,
        actorId: call.principal.userId,
        traceparent,
      });
      return readUser(ctx, call.principal, id);
    },
  });
}

interface Wanted {
  readonly id: string;
  readonly change: StatusChange;
  readonly reason: string;
}

async function changeStatus(
  tx: AuthTransaction,
  call: AdminCall,
  { id, change, reason }: Wanted,
): Promise<Refused | { readonly outcome: 'done'; readonly target: Party; readonly lifted: boolean }> {
  const parties = await lockParties(tx, call.principal, { id, reason, needs: change.needs });
  if (parties.outcome === 'refused') return parties;
  const { target } = parties;
  const changes = target.status !== change.to;
  if (changes && !change.from.includes(target.status)) return refused('conflict');
  if (changes && change.to !== 'active' && (await isLastAdministrator(tx, parties)))
    return refused('last_administrator');
  const tell = (before: string) => tellStatus(tx, call, { target, reason, before, after: change.to });
  if (changes) {
    await tx
      .updateTable('user_account')
      .set({ status: change.to, version: sql<number>`version + 1`, updated_at: sql<Date>`now()` })
      .where('id', '=', id)
      .execute();
    await tell(target.status);
  }
  const lifted = change.liftsLockout === true ? await liftLockout(tx, call, target) : undefined;
  // auth.lockout has no place for a reason, and unlocking leaves one (contract §10).
  if (lifted && !changes) await tell(lifted);
  return { outcome: 'done', target, lifted: lifted !== undefined };
}
