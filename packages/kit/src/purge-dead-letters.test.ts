import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { EventBench } from './event-testing.ts';
import { purgeDeadLetters } from './purge-dead-letters.ts';

let bench: EventBench;
beforeAll(async () => {
  bench = await EventBench.open();
});
beforeEach(() => bench.database.query('truncate auth.dead_letter'));
afterAll(() => bench.close());

interface Past {
  readonly replayed?: number;
  readonly discarded?: number;
}

/** So many letters of a year ago, replayed or discarded so many days ago. */
const letters = (what: string, { replayed, discarded }: Past = {}, count = 1) =>
  bench.database.query(
    `insert into auth.dead_letter (consumer, type, subject, payload, reason, deliveries, created_at, replayed_at, discarded_at)
     select $1, 't', 's', '', 'r', 1, now() - interval '1 year', now() - make_interval(days => $2), now() - make_interval(days => $3)
     from generate_series(1, $4)`,
    [what, replayed ?? null, discarded ?? null, count],
  );
const left = async () => {
  const rows = await bench.database.query<{ consumer: string }>('select consumer from auth.dead_letter');
  return rows.map(({ consumer }) => consumer).toSorted();
};
const purge = (days = 90) => purgeDeadLetters(bench.consumer.pool, days);

describe('dead letters', () => {
  it('go when they were replayed or discarded long ago, and never while they wait', async () => {
    await letters('waits');
    await letters('replayed long ago', { replayed: 91 });
    await letters('discarded long ago', { discarded: 91 });
    await letters('replayed lately', { replayed: 89 });
    await letters('discarded lately', { discarded: 89 });
    await letters('discarded long ago, replayed lately', { discarded: 91, replayed: 1 });
    expect(await purge()).toBe(2);
    expect(await left()).toEqual([
      'discarded lately',
      'discarded long ago, replayed lately',
      'replayed lately',
      'waits',
    ]);
    expect(await purge()).toBe(0);
  });

  it('go however many they are, and stay for ever when so it is set', async () => {
    await letters('many', { discarded: 400 }, 2_500);
    expect(await purge(0)).toBe(0);
    expect(await purge()).toBe(2_500);
    expect(await left()).toEqual([]);
  });

  it('stay while somebody replays them', async () => {
    await letters('is replayed now', { discarded: 400 });
    await letters('nobody looks at it', { discarded: 400 });
    const replaying = await bench.consumer.pool.connect();
    try {
      await replaying.query('begin');
      await replaying.query(`select from dead_letter where consumer = 'is replayed now' for update`);
      expect(await purge()).toBe(1);
      await replaying.query(`update dead_letter set replayed_at = now() where consumer = 'is replayed now'`);
      await replaying.query('commit');
    } finally {
      replaying.release();
    }
    expect(await purge()).toBe(0);
    expect(await left()).toEqual(['is replayed now']);
  });
});
