import { sql } from 'kysely';
import type { Context } from './service.ts';

/** Work that a service does beside its requests. */
export interface JobDefinition<Ctx> {
  /** Kebab-case; the metric's label. */
  readonly name: string;
  readonly everySeconds: number;
  /** `one`: a database lock lets one instance at a time run it; `each`: every instance runs it for itself. */
  readonly instances: 'one' | 'each';
  readonly run: (ctx: Ctx) => Promise<void>;
}

/** A job that ticks until stopped. */
export interface RunningJob {
  stop(): Promise<void>;
}

/**
 * Runs a job at its interval, first after a random part of it so that instances do not march in step. Runs never
 * overlap; a failing run is logged and counted, and the next one comes at its time.
 */
export function startJob<Ctx extends Context>(job: JobDefinition<Ctx>, ctx: Ctx): RunningJob {
  const everyMs = job.everySeconds * 1000;
  let timer: NodeJS.Timeout;
  let running: Promise<void> = Promise.resolve();
  let stopped = false;
  const tick = () => {
    running = runOnce(job, ctx).finally(() => {
      if (!stopped) timer = setTimeout(tick, everyMs).unref();
    });
  };
  timer = setTimeout(tick, Math.random() * Math.min(everyMs, 5_000)).unref();
  return {
    async stop() {
      stopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}

async function runOnce<Ctx extends Context>(job: JobDefinition<Ctx>, ctx: Ctx): Promise<void> {
  try {
    if (job.instances === 'each') await job.run(ctx);
    else await withLock(job, ctx);
    ctx.metrics.jobRuns.inc({ job: job.name, result: 'ok' });
  } catch (err) {
    ctx.metrics.jobRuns.inc({ job: job.name, result: 'failed' });
    ctx.log.warn({ err, job: job.name }, 'job failed');
  }
}

// A session lock would outlive its holder behind a pooler in transaction mode; this one ends with its transaction.
async function withLock<Ctx extends Context>(job: JobDefinition<Ctx>, ctx: Ctx): Promise<void> {
  await ctx.db.transaction().execute(async (tx) => {
    const lock = await sql<{ held: boolean }>`
      select pg_try_advisory_xact_lock(hashtextextended(${`gatehouse.job.${job.name}`}, 0)) as held`.execute(
      tx,
    );
    if (lock.rows[0]?.held === true) await job.run(ctx);
  });
}
