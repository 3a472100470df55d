import { append, EVENT_LANE } from '@gatehouse/kit';
import { sql } from 'kysely';
import { ClusterUnreachable, openSystemClient } from '../cluster/system-client.ts';
import type { NatsIdentityContext, NatsIdentityJob, NatsidTransaction } from '../context.ts';
import { deleteOrder, sendDelete, storedKeys } from './delete-claims.ts';

/** How often a cluster is searched; and at once when one of its servers comes back or is started anew. */
const SWEEP_SECONDS = 30;
const AT_ONCE = 4;
/** Rows that one run closes; the rest waits for the next. */
const CLOSE_MAX = 200;

interface SweptCluster {
  readonly id: string;
  readonly name: string;
  readonly operator_id: string;
}

/**
 * Deletes again what comes back: a server that was away during a deletion still has the account, and gives it to the
 * others (nats-protocol, fact 3). Only keys that are tombstones of the cluster's own operator are ever deleted.
 */
export const sweepTombstones: NatsIdentityJob = {
  name: 'nats-tombstone-sweep',
  everySeconds: 1,
  instances: 'each',
  run: (ctx) => sweepWhatIsDue(ctx, AT_ONCE),
};

async function sweepWhatIsDue(ctx: NatsIdentityContext, atOnce: number): Promise<void> {
  for (;;) {
    const cluster = await ctx.db
      .updateTable('cluster')
      .set({ sweep_due_at: sql<Date>`now() + make_interval(secs => ${SWEEP_SECONDS})` })
      .where('id', '=', (some) =>
        some
          .selectFrom('cluster as c')
          .select('c.id')
          .where('c.sweep_due_at', '<=', sql<Date>`now()`)
          .where(
            sql<boolean>`exists (select from account a where a.operator_id = c.operator_id and a.state = 'deleted')`,
          )
          .orderBy('c.sweep_due_at')
          .limit(1)
          .forUpdate()
          .skipLocked(),
      )
      .returning(['id', 'name', 'operator_id'])
      .executeTakeFirst();
    if (cluster === undefined) return;
    const beside = atOnce > 1 ? sweepWhatIsDue(ctx, atOnce - 1) : undefined;
    await Promise.all([sweepCluster(ctx, cluster), beside]);
  }
}

/** Searches one cluster for deleted accounts and deletes them again. A cluster that is away is searched when it is back. */
export async function sweepCluster(ctx: NatsIdentityContext, cluster: SweptCluster): Promise<void> {
  try {
    const client = await openSystemClient(ctx, cluster.id);
    try {
      const servers = (await client.servers()).length;
      const stones = await tombstones(ctx, cluster.operator_id);
      const { servers: returned } = await storedKeys(client, new Set(stones.keys()), servers);
      if (returned.size === 0) return;
      await sendDelete(client, await deleteOrder(ctx, cluster.operator_id, [...returned.keys()]), servers);
      const left = await storedKeys(client, new Set(returned.keys()), servers);
      await tellReturned(ctx, stones, returned);
      // Some server gave it back in the very moment, or refuses: no half minute is waited for that.
      if (left.servers.size > 0 || left.fault !== undefined) await sweepSoon(ctx, cluster.id);
    } finally {
      await client.close();
    }
  } catch (error) {
    // A cluster that is away says so in its health; whatever else is wrong with one must not hold up the others.
    if (!(error instanceof ClusterUnreachable))
      ctx.log.warn({ err: error, cluster: cluster.name }, 'deleted nats accounts could not be searched for');
  }
}

type Tombstone = { readonly id: string; readonly name: string; readonly tenant_id: string | null };

async function tombstones(ctx: NatsIdentityContext, operatorId: string): Promise<Map<string, Tombstone>> {
  const rows = await ctx.db
    .selectFrom('account')
    .select(['id', 'name', 'tenant_id', 'public_key'])
    .where('operator_id', '=', operatorId)
    .where('state', '=', 'deleted')
    .execute();
  return new Map(rows.map(({ public_key, ...row }) => [public_key, row]));
}

async function sweepSoon(ctx: NatsIdentityContext, clusterId: string): Promise<void> {
  await ctx.db
    .updateTable('cluster')
    .set({ sweep_due_at: sql<Date>`now() + interval '3 seconds'` })
    .where('id', '=', clusterId)
    .execute();
}

async function tellReturned(
  ctx: NatsIdentityContext,
  stones: ReadonlyMap<string, Tombstone>,
  returned: ReadonlyMap<string, readonly string[]>,
): Promise<void> {
  await ctx.db.transaction().execute(async (tx) => {
    for (const [public_key, servers] of returned) {
      const stone = stones.get(public_key);
      if (stone === undefined) continue;
      await append(tx, {
        type: 'natsid.account.returned',
        tenant_id: stone.tenant_id,
        aggregate: `account:${stone.id}`,
        traceparent: null,
        data: {
          actor_id: null,
          reason: null,
          client_ip: null,
          user_agent: null,
          id: stone.id,
          name: stone.name,
          public_key,
          servers: [...servers],
        },
      });
    }
  });
  ctx.relay.poke(EVENT_LANE);
}

/** Closes tombstones that are old enough: the row goes, and with it every seed of the account. */
export const closeTombstones: NatsIdentityJob = {
  name: 'nats-tombstone-close',
  everySeconds: 600,
  instances: 'each',
  run: (ctx) => ctx.db.transaction().execute((tx) => closeOld(tx, ctx.config.NATS_TOMBSTONE_DAYS)),
};

/** Removes accounts that were deleted that many days ago, with all that is theirs. */
export async function closeOld(tx: NatsidTransaction, days: number): Promise<void> {
  const old = await tx
    .selectFrom('account')
    .select(['id', 'secret_id'])
    .where('state', '=', 'deleted')
    .where('state_at', '<', sql<Date>`now() - make_interval(days => ${days})`)
    .orderBy('state_at')
    .limit(CLOSE_MAX)
    .forUpdate()
    .skipLocked()
    .execute();
  if (old.length === 0) return;
  const ids = old.map(({ id }) => id);
  const keys = await tx
    .selectFrom('account_key')
    .select('secret_id')
    .where('account_id', 'in', ids)
    .execute();
  const users = await tx.selectFrom('nats_user').select('secret_id').where('account_id', 'in', ids).execute();
  const secrets = [...old, ...keys, ...users].flatMap(({ secret_id }) => secret_id ?? []);
  await tx.deleteFrom('account').where('id', 'in', ids).execute();
  if (secrets.length > 0)
    await sql`delete from secret where id = any(${sql.val(secrets)}::uuid[])`.execute(tx);
}
