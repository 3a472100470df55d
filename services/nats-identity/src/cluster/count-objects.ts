import { sql } from 'kysely';
import type { NatsIdentityJob } from '../context.ts';

interface Counts {
  readonly operators: number;
  readonly accounts: number;
  readonly users: number;
  readonly clusters: number;
  readonly healthy: number;
  readonly foreign: number;
}

const states = ['in_sync', 'pending', 'drifted', 'unreachable', 'operator_key_untrusted', 'refused'] as const;

/** Counts for `nis_*`, from the database: every instance tells the same, whichever of them did the work. */
export const countObjects: NatsIdentityJob = {
  name: 'nats-object-counts',
  everySeconds: 5,
  instances: 'each',
  run: async ({ db, metrics, pool }) => {
    const { rows } = await sql<Counts>`
      select (select count(*)::int from operator) as operators,
        (select count(*)::int from account where state <> 'deleted') as accounts,
        (select count(*)::int from nats_user u join account a on a.id = u.account_id where a.state <> 'deleted') as users,
        (select count(*)::int from cluster) as clusters,
        (select count(*)::int from cluster where healthy) as healthy,
        (select count(*)::int from foreign_account) as foreign`.execute(db);
    const counts = rows[0];
    if (counts === undefined) throw new Error('nothing was counted');
    metrics.nisOperators.set(counts.operators);
    metrics.nisAccounts.set(counts.accounts);
    metrics.nisUsers.set(counts.users);
    metrics.nisClusters.set(counts.clusters);
    metrics.nisClustersHealthy.set(counts.healthy);
    const synced = await db
      .selectFrom('account_sync')
      .select(['state', sql<number>`count(*)::int`.as('count')])
      .groupBy('state')
      .execute();
    for (const state of states)
      metrics.clusterAccounts.set({ state }, synced.find((one) => one.state === state)?.count ?? 0);
    metrics.clusterAccounts.set({ state: 'foreign' }, counts.foreign);
    metrics.nisDbConnectionsOpen.set(pool.totalCount);
    metrics.nisDbConnectionsMax.set(pool.options.max);
  },
};
