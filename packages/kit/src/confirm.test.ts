import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { confirmRecorded } from './confirm.ts';
import { EventBench, someEvents } from './event-testing.ts';
import { newId } from './id.ts';
import { appendRevocation } from './outbox.ts';
import { PeerError } from './peer.ts';
import { eventually } from './testing.ts';

let bench: EventBench;
beforeAll(async () => {
  bench = await EventBench.open();
});
beforeEach(() => bench.reset());
afterAll(() => bench.close());

const all = async (ids: string[]) => ids;
const none = async () => [];

function confirm(ask: (ids: string[]) => Promise<readonly string[]>) {
  const { bus, metrics, log } = bench;
  return confirmRecorded({ pool: bench.producer.pool, bus, ask, metrics, log, service: 'token' });
}

async function published(count: number, secondsAgo: number): Promise<string[]> {
  const ids = await bench.append(someEvents(count));
  await bench.database.query(
    `update token.outbox set published_at = now() - make_interval(secs => $1) where id = any($2)`,
    [secondsAgo, ids],
  );
  return ids;
}

async function left(): Promise<{ id: string; published: boolean }[]> {
  return bench.database.query('select id, published_at is not null as published from token.outbox');
}

const gaps = async () =>
  Number(
    /(\d+)$/.exec((await bench.metrics.registry.getSingleMetricAsString('audit_gap_total')).trim())?.[1] ?? 0,
  );

/** Audit's consumer is there and has nothing left to do, as far as the stream knows. */
async function auditIsIdle(): Promise<void> {
  const running = await bench.consume(undefined, { name: 'audit-test', filter: 'session.>' });
  await eventually(async () => {
    const reply = await bench.bus.nc()?.request('$JS.API.CONSUMER.INFO.GATEHOUSE_EVENTS.audit-test', '');
    return reply?.json<{ num_pending?: number }>().num_pending === 0;
  });
  await running.stop();
}

describe('the outbox', () => {
  it('forgets only what audit has recorded', async () => {
    const ids = await published(4_500, 10);
    const fresh = await published(3, 0);
    const lacking = new Set(ids.filter((_, index) => index % 100 === 0));
    const asked: number[] = [];
    const result = await confirm(async (page) => {
      asked.push(page.length);
      return page.filter((id) => !lacking.has(id));
    });
    expect(result).toEqual({ deleted: 4_455, repeated: 0, skipped: false });
    expect(Math.max(...asked)).toBeLessThanOrEqual(2_000);
    expect((await left()).map(({ id }) => id).toSorted()).toEqual([...lacking, ...fresh].toSorted());
  });

  it('never forgets an event that it has not published, or that it did not ask about', async () => {
    const ids = await bench.append(someEvents(2));
    const others = await published(1, 10);
    await confirm(async () => [...ids, ...others, newId()]);
    expect((await left()).map(({ id }) => id).toSorted()).toEqual(ids.toSorted());
  });

  it('publishes again, and counts as a gap, what audit lacks a minute later', async () => {
    await auditIsIdle();
    const old = await published(3, 70);
    await published(2, 30);
    expect(await confirm(none)).toEqual({ deleted: 0, repeated: 3, skipped: false });
    const waiting = (await left()).filter((row) => !row.published).map(({ id }) => id);
    expect(waiting.toSorted()).toEqual(old.toSorted());
    expect(await gaps()).toBe(3);
    bench.relay();
    await eventually(async () => (await left()).every((row) => row.published));
    expect(await confirm(none)).toMatchObject({ repeated: 0 });
    expect(await gaps()).toBe(3);
  });

  it('waits, and counts no gap, while audit has not come to it or cannot be asked', async () => {
    await auditIsIdle();
    const before = await gaps();
    await published(2, 70);
    const away = async (): Promise<string[]> => {
      throw new PeerError('audit', undefined);
    };
    expect(await confirm(away)).toMatchObject({ skipped: true });
    // Audit's consumer stands still before a backlog.
    await bench.append(someEvents(2_500));
    bench.relay();
    await eventually(async () => (await left()).every((row) => row.published));
    expect(await confirm(none)).toMatchObject({ repeated: 0, skipped: false });
    expect(await left()).toHaveLength(2_502);
    expect(await gaps()).toBe(before);
  });

  it('keeps revocations until no token can be about them, recorded or not', async () => {
    await bench.producer.db.transaction().execute(async (tx) => {
      await appendRevocation(tx, { sids: ['a'], until: 1 });
      await appendRevocation(tx, { sids: ['b'], until: 1 });
    });
    await bench.database.query('update token.outbox set published_at = now()');
    await confirm(all);
    expect(await left()).toHaveLength(2);
    await bench.database.query(
      `update token.outbox set occurred_at = now() - interval '22 minutes' where data->'sids' ? 'a'`,
    );
    await confirm(all);
    expect(await left()).toHaveLength(1);
  });

  it('lets the inbox go after all deliveries are over', async () => {
    await bench.database.query(
      `insert into token.inbox (consumer, event_id, received_at) values
       ('x', gen_random_uuid(), now() - interval '9 days'), ('x', gen_random_uuid(), now() - interval '7 days')`,
    );
    await confirm(all);
    expect(await bench.database.query('select 1 from token.inbox')).toHaveLength(1);
  });
});
