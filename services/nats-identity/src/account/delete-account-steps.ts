import { EVENT_LANE, Problem } from '@gatehouse/kit';
import type { AccountTable } from '@gatehouse/schema';
import { type Selectable, sql } from 'kysely';
import { inWindow } from '../cluster/reconciler-window.ts';
import { ClusterUnreachable, NotPermitted, PayloadTooLarge } from '../cluster/system-client.ts';
import type { NatsIdentityContext, NatsIdentityJob } from '../context.ts';
import { streamsOf } from './account-streams.ts';
import { deleteOrder, sendDelete, storedKeys } from './delete-claims.ts';
import { advance, wait, waitAll } from './deletion-state.ts';
import { notLockedOut } from './lock-out-proof.ts';
import { closeClusters, openClusters, type ReachedCluster } from './reach-clusters.ts';

/** Accounts that one round takes up; of one operator they share connections and the order to delete. */
const BATCH = 64;
const AT_ONCE = 8;
/** Longer than a round takes; if its process dies, another one goes on after that. */
const CLAIM_SECONDS = 60;

type Account = Selectable<AccountTable>;

/**
 * Takes deletions on, whichever process gets to them first: locked → purging → deleting → deleted. Each step first looks
 * what is, so that it may be done twice, and each is written down before the next begins: a process that dies leaves
 * nothing half done. A server that does not answer stops it where it is: an account that is locked everywhere is safe
 * as it is, one that is deleted on some servers comes back from the others (nats-protocol, fact 3).
 */
export const deleteAccountSteps: NatsIdentityJob = {
  name: 'nats-account-deletion',
  everySeconds: 1,
  instances: 'each',
  run: async (ctx) => {
    for (;;) {
      const claimed = await claim(ctx);
      if (claimed.length === 0) return;
      const operators = Map.groupBy(claimed, ({ operator_id }) => operator_id);
      await Promise.all([...operators].map(([operatorId, accounts]) => safeStep(ctx, operatorId, accounts)));
      ctx.relay.poke(EVENT_LANE);
    }
  },
};

function claim(ctx: NatsIdentityContext): Promise<Account[]> {
  return ctx.db
    .updateTable('account')
    .set({ state_due_at: sql<Date>`now() + make_interval(secs => ${CLAIM_SECONDS})` })
    .where('id', 'in', (some) =>
      some
        .selectFrom('account')
        .select('id')
        .where('state', 'in', ['locked', 'purging', 'deleting'])
        .where('held', '=', false)
        .where('state_due_at', '<=', sql<Date>`now()`)
        .orderBy('state_due_at')
        .limit(BATCH)
        .forUpdate()
        .skipLocked(),
    )
    .returningAll()
    .execute();
}

/** What one operator's clusters do must not hold up another's. */
async function safeStep(
  ctx: NatsIdentityContext,
  operatorId: string,
  accounts: readonly Account[],
): Promise<void> {
  try {
    await step(ctx, operatorId, accounts);
  } catch (error) {
    const known =
      error instanceof ClusterUnreachable ||
      error instanceof NotPermitted ||
      error instanceof PayloadTooLarge;
    if (!known) ctx.log.warn({ err: error, operator: operatorId }, 'nats accounts could not be deleted');
    await waitAll(ctx, accounts, known ? error.message : 'something went wrong here: the log says what');
  }
}

/** One round for accounts of one operator. */
async function step(
  ctx: NatsIdentityContext,
  operatorId: string,
  accounts: readonly Account[],
): Promise<void> {
  const open = await notLockedOut(
    ctx,
    accounts.filter(({ state }) => state === 'locked').map(({ id }) => id),
  );
  for (const account of accounts) {
    const detail = open.get(account.id);
    if (detail !== undefined) await wait(ctx, account, detail);
  }
  const ready = accounts.filter(({ id }) => !open.has(id));
  if (ready.length === 0) return;
  const clusters = await openClusters(ctx, operatorId);
  try {
    const fault = clusters.find((cluster) => cluster.fault !== undefined)?.fault;
    if (fault !== undefined) await waitAll(ctx, ready, fault);
    else await stepReached(ctx, operatorId, ready, clusters);
  } finally {
    await closeClusters(clusters);
  }
}

async function stepReached(
  ctx: NatsIdentityContext,
  operatorId: string,
  accounts: readonly Account[],
  clusters: readonly ReachedCluster[],
): Promise<void> {
  const deleting = accounts.filter(({ state }) => state === 'deleting');
  await inWindow(
    accounts.filter(({ state }) => state !== 'deleting'),
    AT_ONCE,
    async (account) => {
      if (await emptied(ctx, account, clusters)) deleting.push(account);
    },
  );
  if (deleting.length > 0) await deleteEverywhere(ctx, operatorId, deleting, clusters);
}

/** Says whether the account has no streams anywhere and is on its way to be deleted; else sees to it. */
async function emptied(
  ctx: NatsIdentityContext,
  account: Account,
  clusters: readonly ReachedCluster[],
): Promise<boolean> {
  let streams = 0;
  for (const { client, name, servers } of clusters) {
    if (client === undefined) return false;
    const found = await streamsOf(client, account.public_key, servers.length);
    if (found === 'unknown' && !account.purge_consent) {
      await wait(ctx, account, `cluster ${name} does not say which streams it has`);
      return false;
    }
    if (found.length === 0) continue;
    streams += found === 'unknown' ? 1 : found.length;
    if (!account.purge_consent) continue;
    // Written down first: from here on there is no way back.
    if (account.state === 'locked' && !(await advance(ctx, account, 'purging'))) return false;
    await client.requestAll(`$JS.API.ACCOUNT.PURGE.${account.public_key}`, '', { expect: 1 });
  }
  if (streams === 0) return advance(ctx, account, 'deleting');
  await wait(
    ctx,
    account,
    account.purge_consent
      ? 'its streams are being deleted'
      : `it still has ${streams} streams: restore it and delete them, or delete it once more with purge=true`,
  );
  return false;
}

async function deleteEverywhere(
  ctx: NatsIdentityContext,
  operatorId: string,
  accounts: readonly Account[],
  clusters: readonly ReachedCluster[],
): Promise<void> {
  const keys = new Set(accounts.map(({ public_key }) => public_key));
  let order: string;
  try {
    order = await deleteOrder(ctx, operatorId, [...keys]);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    return waitAll(ctx, accounts, 'no private key of the operator is here that may sign its deletion');
  }
  const held = new Map<string, string>();
  for (const { client, name, servers } of clusters) {
    if (client === undefined) return;
    const complaint = await sendDelete(client, order, servers.length);
    const stored = await storedKeys(client, keys, servers.length);
    for (const key of keys) {
      const where = stored.servers.get(key);
      if (where !== undefined)
        held.set(key, `${complaint ?? 'still stored'} (${where.join(', ')} of cluster ${name})`);
      else if (stored.fault !== undefined) held.set(key, `cluster ${name}: ${stored.fault}`);
    }
  }
  for (const account of accounts) {
    const detail = held.get(account.public_key);
    if (detail === undefined) await advance(ctx, account, 'deleted');
    else await wait(ctx, account, detail);
  }
}
