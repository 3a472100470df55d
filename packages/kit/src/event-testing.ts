import { connect, type KitDatabase } from '@gatehouse/schema';
import type { Transaction } from 'kysely';
import { type Logger, pino } from 'pino';
import { type Bus, connectBus } from './bus.ts';
import { type ConsumerDefinition, type RunningConsumer, startConsumer } from './consume.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import { type AnyNewEvent, appendMany } from './outbox.ts';
import { createRelay, type Relay } from './relay.ts';
import { eventually, type TestDatabase, type TestNats, testDatabase, testNats } from './testing.ts';

type Connected = ReturnType<typeof connect<KitDatabase>>;
type Stopping = { stop(): Promise<void> };

/** What a consumer under test is given as its context. */
export interface TestContext {
  readonly db: Connected['db'];
  readonly bus: Bus;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/**
 * A producer (token) and a consumer (auth) on real servers of their own. The consumer's effects are rows of
 * auth.effect, a table without any constraint: an effect that happens twice is there twice.
 */
export class EventBench {
  readonly database: TestDatabase;
  readonly nats: TestNats;
  readonly log = pino({ level: process.env.TEST_LOG ?? 'silent' });
  readonly metrics = createMetrics({ runtime: false });
  readonly bus: Bus;
  readonly producer: Connected;
  readonly consumer: Connected;
  readonly #running: Stopping[] = [];

  private constructor(database: TestDatabase, nats: TestNats) {
    this.database = database;
    this.nats = nats;
    this.bus = connectBus({ url: nats.url, name: 'test', log: this.log });
    this.producer = connect<KitDatabase>({ url: database.url, service: 'token' });
    this.consumer = connect<KitDatabase>({ url: database.url, service: 'auth' });
  }

  static async open(): Promise<EventBench> {
    const [database, nats] = await Promise.all([testDatabase(), testNats()]);
    await database.query('create table auth.effect (event_id uuid not null, type text not null)');
    return new EventBench(database, nats);
  }

  /** Stops what runs and empties every table and stream, for the next test. */
  async reset(): Promise<void> {
    await Promise.all(this.#running.splice(0).map((one) => one.stop()));
    await this.database.query(`truncate token.outbox, auth.inbox, auth.dead_letter, auth.effect`);
    await eventually(() => this.bus.up);
    for (const stream of ['GATEHOUSE_EVENTS', 'GATEHOUSE_REVOCATIONS'])
      await this.bus.nc()?.request(`$JS.API.STREAM.DELETE.${stream}`, '', { timeout: 5000 });
    this.bus.repair();
    await eventually(() => this.bus.up);
  }

  async close(): Promise<void> {
    await Promise.all(this.#running.splice(0).map((one) => one.stop()));
    await this.bus.close();
    await Promise.all([this.producer.close(), this.consumer.close()]);
    await Promise.all([this.database.drop(), this.nats.close()]);
  }

  relay(options: { heartbeat?: boolean; bus?: Bus } = {}): Relay {
    const { log, metrics } = this;
    const { pool } = this.producer;
    const relay = createRelay({ pool, bus: this.bus, log, metrics, service: 'token', ...options });
    relay.start();
    this.#running.push(relay);
    return relay;
  }

  async consume(
    handle: ReturnType<ConsumerDefinition<TestContext>['handle']> = recordEffect,
    more: Partial<ConsumerDefinition<TestContext>> = {},
  ): Promise<RunningConsumer> {
    const definition = { name: 'test', filter: ['session.>', 'token.>'], retryMs: 5, ackWaitSeconds: 2 };
    const ctx: TestContext = {
      ...{ db: this.consumer.db, bus: this.bus, log: this.log, metrics: this.metrics },
    };
    const running = await startConsumer({ ...definition, handle: () => handle, ...more }, ctx);
    this.#running.push(running);
    return running;
  }

  /** Writes events as a request does: in a transaction of their own. */
  append(events: readonly AnyNewEvent[]): Promise<string[]> {
    return this.producer.db.transaction().execute((tx) => appendMany(tx, events));
  }

  async effects(): Promise<string[]> {
    const rows = await this.database.query<{ event_id: string }>('select event_id from auth.effect');
    return rows.map(({ event_id }) => event_id);
  }

  /** Waits until each of these has had its effect, and then a little for one too many. */
  async once(ids: readonly string[], deadlineMs = 25_000): Promise<string[]> {
    await eventually(async () => new Set(await this.effects()).size >= ids.length, deadlineMs);
    return (await this.effects()).toSorted();
  }
}

/** A handler whose effects can be counted. */
export async function recordEffect(
  tx: Transaction<KitDatabase>,
  events: readonly { id: string; type: string }[],
): Promise<void> {
  const rows = events.map(({ id, type }) => ({ event_id: id, type }));
  await (tx as unknown as Transaction<{ effect: { event_id: string; type: string } }>)
    .insertInto('effect')
    .values(rows)
    .execute();
}

/** Events of sessions, as many as wanted. */
export function someEvents(count: number): AnyNewEvent[] {
  return Array.from({ length: count }, (_, index) => ({
    type: 'session.refreshed',
    tenant_id: null,
    aggregate: `session:${index}`,
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00',
    data: {
      user_id: null,
      client_ip: '203.0.113.9',
      user_agent: 'Test',
      session_id: `${index}`,
      generation: 1,
    },
  }));
}
