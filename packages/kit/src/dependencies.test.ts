import { type Connection, connect, type KitDatabase } from '@gatehouse/schema';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { watchDependencies } from './dependencies.ts';
import { createMetrics } from './metrics.ts';
import type { Context } from './service.ts';
import { eventually, type TestDatabase, testDatabase } from './testing.ts';

let database: TestDatabase;
let connection: Connection<KitDatabase>;
beforeAll(async () => {
  database = await testDatabase();
  connection = connect<KitDatabase>({ url: database.url, service: 'gateway', poolMax: 2 });
});
afterAll(async () => {
  await connection.close();
  await database.drop();
});

it('who waits for a connection is counted while they wait, and the look itself is not', async () => {
  const { pool } = connection;
  const metrics = createMetrics({ runtime: false });
  const ctx = {
    name: 'gateway',
    metrics,
    config: { DATABASE_POOL_MAX: 2 },
    bus: { ping: async () => undefined },
  } as unknown as Context;
  const held = await Promise.all([pool.connect(), pool.connect()]);
  const waiting = [pool.query('select 1'), pool.query('select 1')];
  const watch = watchDependencies([{ ctx, database: connection as never }]);
  try {
    expect(pool.waitingCount).toBe(3);
    await freed(held, waiting);
    await eventually(async () => expect(await stateOf(metrics.dependencyUp, 'dep', 'db')).toBe(1));
    expect(await stateOf(metrics.dbPool, 'state', 'waiting')).toBe(2);
    expect(await stateOf(metrics.dbPool, 'state', 'total')).toBe(2);
  } finally {
    await watch.stop();
  }
});

async function freed(held: readonly { release(): void }[], waiting: readonly Promise<unknown>[]) {
  for (const client of held) client.release();
  await Promise.all(waiting);
}

type Gauge = ReturnType<typeof createMetrics>['dbPool' | 'dependencyUp'];

async function stateOf(gauge: Gauge, label: string, value: string): Promise<number | undefined> {
  const { values } = await gauge.get();
  return values.find(({ labels }) => (labels as Record<string, unknown>)[label] === value)?.value;
}
