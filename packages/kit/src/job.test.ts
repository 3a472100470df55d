import { type Connection, connect, type KitDatabase } from '@gatehouse/schema';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type JobDefinition, startJob } from './job.ts';
import { watchedJob } from './job-testing.ts';
import { createMetrics } from './metrics.ts';
import type { Context } from './service.ts';
import { eventually, type TestDatabase, testDatabase } from './testing.ts';

let database: TestDatabase;
let connection: Connection<KitDatabase>;
let ctx: Context;
beforeAll(async () => {
  database = await testDatabase();
  connection = connect<KitDatabase>({ url: database.url, service: 'gateway', poolMax: 3 });
  const { db, pool } = connection;
  ctx = {
    db,
    pool,
    metrics: createMetrics({ runtime: false }),
    log: pino({ level: 'silent' }),
  } as unknown as Context;
});
afterAll(async () => {
  await connection.close();
  await database.drop();
});

it('more jobs than connections never wait for each other’s connections', async () => {
  const runs = new Map<string, number>();
  const jobs = ['a', 'b', 'c', 'd'].map(
    (name): JobDefinition<Context> => ({
      name,
      everySeconds: 0.01,
      instances: 'one',
      run: async ({ pool }) => {
        await pool.query('select pg_sleep(0.02)');
        runs.set(name, (runs.get(name) ?? 0) + 1);
      },
    }),
  );
  const started = jobs.map((job) => startJob(job, ctx));
  await eventually(() => expect([...runs.values()].filter((count) => count >= 3)).toHaveLength(4));
  await Promise.all(started.map((job) => job.stop()));
});

it('of two instances one runs a job at a time', async () => {
  const { job, runs, most } = watchedJob();
  const other = connect<KitDatabase>({ url: database.url, service: 'gateway', poolMax: 3 });
  const started = [startJob(job, ctx), startJob(job, { ...ctx, db: other.db, pool: other.pool } as Context)];
  await eventually(() => expect(runs()).toBeGreaterThan(5));
  await Promise.all(started.map((one) => one.stop()));
  await other.close();
  expect(most()).toBe(1);
});

it('a failing run is counted and the next one comes', async () => {
  let runs = 0;
  const job = startJob(
    {
      name: 'fails',
      everySeconds: 0.01,
      instances: 'one',
      run: async () => {
        runs += 1;
        throw new Error('not today');
      },
    },
    ctx,
  );
  await eventually(() => expect(runs).toBeGreaterThan(2));
  await job.stop();
  const { values } = await ctx.metrics.jobRuns.get();
  expect(
    values.find(({ labels }) => labels.task === 'fails' && labels.result === 'failed')?.value,
  ).toBeGreaterThan(2);
});
