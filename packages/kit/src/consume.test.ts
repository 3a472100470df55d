import { spawn } from 'node:child_process';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { headers } from '@nats-io/nats-core';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { eventStream } from './bus.ts';
import type { IncomingEvent } from './consume.ts';
import { listDeadLetters, readDeadLetter } from './dead-letter.ts';
import { EventBench, recordEffect, someEvents } from './event-testing.ts';
import { newId } from './id.ts';
import { eventually } from './testing.ts';

let bench: EventBench;
beforeAll(async () => {
  bench = await EventBench.open();
});
beforeEach(() => bench.reset());
afterAll(() => bench.close());

function connected() {
  const nc = bench.bus.nc();
  if (nc === undefined) throw new Error('not connected');
  return nc;
}

/** Straight to the stream, as a relay does, or as nobody should. */
async function publish(id: string, payload = '{"session_id":"s"}', msgID?: string): Promise<void> {
  const head = headers();
  head.set('ce-id', id);
  head.set('ce-type', 'session.refreshed');
  await jetstream(connected()).publish('session.refreshed', payload, {
    headers: head,
    ...(msgID === undefined ? {} : { msgID }),
  });
}

const deadLetters = () => listDeadLetters(bench.consumer.pool);
async function counted(result: string): Promise<number> {
  const text = await bench.metrics.registry.getSingleMetricAsString('events_consumed_total');
  return Number(new RegExp(`consumer="test",result="${result}"\\} (\\d+)`).exec(text)?.[1] ?? 0);
}

describe('a consumer', () => {
  it('gets whole events, once they are committed', async () => {
    const seen: IncomingEvent[] = [];
    await bench.consume(async (_tx, events, { fresh }) => {
      expect(fresh).toBe(true);
      seen.push(...events);
    });
    const relay = bench.relay();
    await eventually(async () => (await jetstreamManager(connected())).consumers.info(eventStream, 'test'));
    const [id] = await bench.append(someEvents(1));
    relay.poke();
    await eventually(() => seen.length === 1);
    expect(seen[0]).toMatchObject({
      id,
      type: 'session.refreshed',
      source: '/gatehouse/token',
      tenantId: null,
      traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00',
      subject: 'session:0',
      deliveries: 1,
      data: { session_id: '0', trace_id: '0af7651916cd43dd8448eb211c80319c', tenant_id: null },
    });
    expect(seen[0]?.sequence).toBeGreaterThan(0);
    expect(JSON.parse(seen[0]?.json ?? '')).toEqual(seen[0]?.data);
  });

  it('has an effect once, whatever is published or delivered twice, in whatever order', async () => {
    const ids = Array.from({ length: 40 }, newId);
    await bench.consume();
    for (const id of [...ids, ...ids.toReversed(), ...ids]) await publish(id);
    await eventually(async () => (await counted('duplicate')) >= 80);
    expect(await bench.once(ids)).toEqual(ids.toSorted());
  });

  it('keeps a poison event as a dead letter, and the rest flows', async () => {
    const poison = newId();
    const ids = Array.from({ length: 60 }, newId);
    let tries = 0;
    await bench.consume(async (tx, events) => {
      if (events.some(({ id }) => id === poison)) {
        tries += 1;
        throw new TypeError('cannot read this');
      }
      await recordEffect(tx, events);
    });
    await Promise.all([...ids.slice(0, 30), poison, ...ids.slice(30)].map((id) => publish(id)));
    expect(await bench.once(ids)).toEqual(ids.toSorted());
    const [letter] = await eventually(async () => {
      const letters = await deadLetters();
      if (letters.length === 0) throw new Error('none yet');
      return letters;
    });
    expect(letter).toMatchObject({
      consumer: 'test',
      event_id: poison,
      type: 'session.refreshed',
      subject: 'session.refreshed',
      reason: 'TypeError: cannot read this',
      deliveries: 8,
    });
    expect(await readDeadLetter(bench.consumer.pool, letter?.id ?? '')).toMatchObject({
      headers: { 'ce-id': poison },
      payload: '{"session_id":"s"}',
    });
    expect(tries).toBeGreaterThanOrEqual(8);
    expect(await counted('dead')).toBe(1);
    // A duplicate of it is no second dead letter.
    await publish(poison);
    await eventually(async () => (await counted('duplicate')) >= 1);
    expect(await deadLetters()).toHaveLength(1);
  });

  it('keeps what is no event as a dead letter at once', async () => {
    const before = await counted('dead');
    await bench.consume();
    const good = newId();
    await publish('not-a-uuid\u0001');
    await publish(newId(), 'no json');
    await publish(newId(), '[1]');
    await jetstream(connected()).publish('session.refreshed', 'bare');
    await publish(newId(), '{"nul":"\\u0000"}');
    await publish(good);
    await bench.once([good]);
    await eventually(async () => (await counted('dead')) - before === 4);
    const letters = await deadLetters();
    expect(letters.map(({ deliveries }) => deliveries)).toEqual([1, 1, 1, 1]);
  });

  it('loses and doubles nothing when its database connection is cut in the middle of a batch', async () => {
    const ids = Array.from({ length: 50 }, newId);
    let cuts = 0;
    await bench.consume(async (tx, events) => {
      await recordEffect(tx, events);
      // More often than an event may fail: an outage is never the event's fault.
      if (cuts < 12) {
        cuts += 1;
        const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(tx);
        await bench.database.query('select pg_terminate_backend($1)', [rows[0]?.pid]);
      }
    });
    await Promise.all(ids.map((id) => publish(id)));
    expect(await bench.once(ids)).toEqual(ids.toSorted());
    expect(cuts).toBe(12);
    expect(await deadLetters()).toEqual([]);
  });

  it('goes on after its consumer, or the whole stream, was deleted', async () => {
    const jsm = await jetstreamManager(connected());
    await bench.consume();
    const first = newId();
    await publish(first);
    await bench.once([first]);
    await jsm.consumers.delete(eventStream, 'test');
    const second = newId();
    await publish(second);
    await bench.once([first, second]);
    await jsm.streams.delete(eventStream);
    const third = newId();
    await eventually(async () => {
      await publish(third, undefined, third);
    });
    expect(await bench.once([first, second, third])).toEqual([first, second, third].toSorted());
  });

  it('shares the work with another instance, and gives back what it has not begun', async () => {
    const ids = Array.from({ length: 300 }, newId);
    const slow = await bench.consume(
      async (tx, events) => {
        await sql`select pg_sleep(0.05)`.execute(tx);
        await recordEffect(tx, events);
      },
      { batchMax: 5 },
    );
    await Promise.all(ids.map((id) => publish(id)));
    await eventually(async () => (await bench.effects()).length > 0);
    await slow.stop();
    await bench.consume();
    expect(await bench.once(ids)).toEqual(ids.toSorted());
  });

  it('finds the one event that kills its process, and no neighbour suffers for it', async () => {
    const poison = newId();
    const ids = Array.from({ length: 20 }, newId);
    for (const id of [...ids.slice(0, 10), poison, ...ids.slice(10)]) await publish(id);
    let deaths = 0;
    const die = () =>
      new Promise<number | null>((resolve, reject) => {
        const child = spawn(process.execPath, [`${import.meta.dirname}/consume-fixture.ts`], {
          env: {
            ...process.env,
            FIXTURE_DATABASE: bench.database.url,
            FIXTURE_NATS: bench.nats.url,
            POISON: poison,
          },
          stdio: ['ignore', 'ignore', 'inherit'],
        });
        child.on('error', reject);
        child.on('exit', resolve);
      });
    while ((await deadLetters()).length === 0 && deaths < 12) {
      const code = await die();
      if (code === 9) deaths += 1;
    }
    expect(deaths).toBeGreaterThan(2);
    expect(await bench.once(ids)).toEqual(ids.toSorted());
    const letters = await deadLetters();
    expect(letters.map(({ event_id }) => event_id)).toEqual([poison]);
    expect(letters[0]?.reason).toContain('the process died');
  }, 120_000);
});
