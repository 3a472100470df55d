import { sql } from 'kysely';
import type { Pool } from 'pg';
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
  // From zero, so that an increase() sees the first of each.
  for (const result of ['ok', 'failed', 'skipped'] as const)
    ctx.metrics.jobRuns.inc({ task: job.name, result }, 0);
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
    const ran = job.instances === 'each' ? await runHere(job, ctx) : await withLock(job, ctx);
    ctx.metrics.jobRuns.inc({ task: job.name, result: ran ? 'ok' : 'skipped' });
  } catch (err) {
    ctx.metrics.jobRuns.inc({ task: job.name, result: 'failed' });
    ctx.log.warn({ err, job: job.name }, 'job failed');
  }
}

async function runHere<Ctx>(job: JobDefinition<Ctx>, ctx: Ctx): Promise<true> {
  await job.run(ctx);
  return true;
}

/**
 * Runs the job unless another instance does, and says which it was.
 * A session lock would outlive its holder behind a pooler in transaction mode; this one ends with its transaction, which
 * idles meanwhile: so it must not be ended for that. The job's own statements need connections besides: of a pool no more
 * than a third may be locks, or locks would wait for each other's connections.
 */
async function withLock<Ctx extends Context>(job: JobDefinition<Ctx>, ctx: Ctx): Promise<boolean> {
  const leave = await enter(ctx.pool);
  try {
    return await ctx.db.transaction().execute(async (tx) => {
      await sql`set local idle_in_transaction_session_timeout = 0`.execute(tx);
      const lock = await sql<{ held: boolean }>`
        select pg_try_advisory_xact_lock(hashtextextended(${`gatehouse.job.${job.name}`}, 0)) as held`.execute(
        tx,
      );
      const held = lock.rows[0]?.held === true;
      if (held) await job.run(ctx);
      return held;
    });
  } finally {
    leave();
  }
}

interface Places {
  free: number;
  readonly waiting: (() => void)[];
}

const placesOf = new WeakMap<Pool, Places>();

/** Waits for a place among the locks that a pool may hold; returns the way to give it back. */
async function enter(pool: Pool): Promise<() => void> {
  const places = placesOf.get(pool) ?? { free: Math.max(1, Math.floor(pool.options.max / 3)), waiting: [] };
  placesOf.set(pool, places);
  if (places.free > 0) places.free -= 1;
  else await new Promise<void>((resolve) => places.waiting.push(resolve));
  return () => {
    const next = places.waiting.shift();
    if (next === undefined) places.free += 1;
    else next();
  };
}
