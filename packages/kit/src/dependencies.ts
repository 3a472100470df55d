import { forgetCertificates } from './certificates.ts';
import type { Database } from './database.ts';
import { probeBus, probeDatabase } from './health.ts';
import type { RunningJob } from './job.ts';
import type { Context } from './service.ts';

/** Keeps `auth_dependency_up` and `db_pool_connections` true, every five seconds. */
export function watchDependencies(members: readonly { ctx: Context; database: Database }[]): RunningJob {
  let timer: NodeJS.Timeout;
  let stopped = false;
  const look = async () => {
    await Promise.all(members.map(observe));
    for (const { ctx } of members) forgetCertificates(ctx.metrics);
    if (!stopped) timer = setTimeout(look, 5000).unref();
  };
  void look();
  return {
    async stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}

async function observe({ ctx, database }: { ctx: Context; database: Database }): Promise<void> {
  const { metrics, name: service } = ctx;
  // Before the probe: that waits like everybody, and when it has its connection those before it wait no longer.
  const { totalCount, idleCount, waitingCount } = database.pool;
  metrics.dbPool.set({ service, state: 'total' }, totalCount);
  metrics.dbPool.set({ service, state: 'idle' }, idleCount);
  metrics.dbPool.set({ service, state: 'waiting' }, waitingCount);
  metrics.dbPool.set({ service, state: 'max' }, ctx.config.DATABASE_POOL_MAX);
  const [db, nats] = await Promise.all([probeDatabase(database.pool), probeBus(ctx.bus)]);
  metrics.dependencyUp.set({ service, dep: 'db' }, db.status === 'healthy' ? 1 : 0);
  metrics.dependencyUp.set({ service, dep: 'nats' }, nats.status === 'healthy' ? 1 : 0);
}
