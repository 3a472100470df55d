import { type AnyNewEvent, appendMany } from '@gatehouse/kit';
import type { AccountState, AccountTable } from '@gatehouse/schema';
import { type Selectable, sql } from 'kysely';
import type { NatsIdentityContext } from '../context.ts';

type Account = Selectable<AccountTable>;

/**
 * The next state, with its event, if the account is still as it was seen: it may have been restored meanwhile, or locked
 * again. Says whether it is.
 */
export async function advance(
  ctx: NatsIdentityContext,
  account: Account,
  state: Exclude<AccountState, 'active' | 'locked'>,
): Promise<boolean> {
  return ctx.db.transaction().execute(async (tx) => {
    const before = await tx
      .selectFrom('account')
      .select(['state', 'jwt_iat'])
      .where('id', '=', account.id)
      .forUpdate()
      .executeTakeFirst();
    if (before === undefined) return false;
    if (Number(before.jwt_iat) !== Number(account.jwt_iat)) {
      // Another JWT than the one that was proven: from the beginning.
      await tx
        .updateTable('account')
        .set({ state_due_at: sql<Date>`now()` })
        .where('id', '=', account.id)
        .execute();
      return false;
    }
    if (before.state === state) return true;
    if (order.indexOf(before.state) > order.indexOf(state) || before.state === 'active') return false;
    await tx
      .updateTable('account')
      .set({
        state,
        state_at: sql<Date>`now()`,
        state_detail: null,
        // The same round goes on; if it dies, another one does. Of a tombstone nothing is due before it is closed.
        state_due_at:
          state === 'deleted'
            ? sql<Date>`now() + make_interval(days => ${ctx.config.NATS_TOMBSTONE_DAYS})`
            : sql<Date>`now() + interval '30 seconds'`,
        revision: sql<number>`revision + 1`,
        updated_at: sql<Date>`now()`,
      })
      .where('id', '=', account.id)
      .execute();
    // From here on nobody may bring it to a server again.
    if (state === 'deleting' || state === 'deleted')
      await tx.deleteFrom('account_sync').where('account_id', '=', account.id).execute();
    if (before.state === 'purging' && state === 'deleting')
      await appendMany(tx, [eventOf(account, 'natsid.account.purged')]);
    if (state === 'deleted') await appendMany(tx, [eventOf(account, 'natsid.account.deleted')]);
    return true;
  });
}

const order: readonly AccountState[] = ['active', 'locked', 'purging', 'deleting', 'deleted'];

/** An event of a deletion: nobody does it, the platform does. */
export function eventOf(
  account: Pick<Account, 'id' | 'name' | 'public_key' | 'tenant_id'>,
  type: 'natsid.account.purged' | 'natsid.account.deleted',
): AnyNewEvent {
  const { id, name, public_key, tenant_id } = account;
  return {
    type,
    tenant_id,
    aggregate: `account:${id}`,
    traceparent: null,
    data: { actor_id: null, reason: null, client_ip: null, user_agent: null, id, name, public_key },
  };
}

/** Says what is in the way and tries again: soon at first, every half minute later. */
export async function wait(
  ctx: NatsIdentityContext,
  account: Pick<Account, 'id'>,
  detail: string,
): Promise<void> {
  await waitAll(ctx, [account], detail);
}

/** The same for several. */
export async function waitAll(
  ctx: NatsIdentityContext,
  accounts: readonly Pick<Account, 'id'>[],
  detail: string,
): Promise<void> {
  await ctx.db
    .updateTable('account')
    .set({
      state_detail: detail.slice(0, 1_000),
      state_due_at: sql<Date>`now() + make_interval(secs =>
        least(30, greatest(0.25, extract(epoch from now() - state_at) / 4)))`,
    })
    .where(
      'id',
      'in',
      accounts.map(({ id }) => id),
    )
    .where('state', 'in', ['locked', 'purging', 'deleting'])
    .execute();
}
