import type { NatsConnection } from '@nats-io/nats-core';
import type { Pool } from 'pg';
import { type Bus, eventStream, revocationStream } from './bus.ts';
import { createHeartbeat, type Heartbeat } from './heartbeat.ts';
import { type Flushed, Lane } from './lane.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import { EVENT_LANE, REVOCATION_LANE } from './outbox.ts';
import { observeOutbox } from './outbox-metrics.ts';
import { createPublisher, type Publisher } from './publish.ts';
import { type BatchOptions, publishBatch } from './relay-batch.ts';

/** Takes a service's outbox to the bus. */
export interface Relay {
  /**
   * Says that rows were committed: call it after the commit. Without a lane both are looked at; hot paths that write
   * events only say `EVENT_LANE`. Costs nothing while a batch is on its way. Forgetting it costs a quarter of a second.
   */
  poke(lane?: number): void;
  start(): void;
  /** Stops after the batch under way. What is left goes out at the next start, or by another instance. */
  stop(): Promise<void>;
  /** Publishes what is there, for as long as it may take, then stops. */
  drain(deadlineMs: number): Promise<void>;
}

/** What a relay needs. */
export interface RelayOptions {
  /** The service's own connections: at most two are in use at once. */
  readonly pool: Pool;
  readonly bus: Bus;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly service: string;
  /** CloudEvents source; `/gatehouse/<service>` unless given. */
  readonly source?: string;
  /** Whether to vouch for the revocation feed (the token service). */
  readonly heartbeat?: boolean;
}

const SWEEP_MS = 250;
const STRAGGLERS_EVERY_MS = 5_000;
/** Pokes within this time go into one batch: one flush of the disk commits a whole group of requests. */
const GATHER_MS = 2;
const EVENT_BATCH_MAX = 128;
const REVOCATION_BATCH_MAX = 50;

/** Makes the relay of a service; `start()` it once the database is migrated. */
export function createRelay(options: RelayOptions): Relay {
  return new OutboxRelay(options);
}

class OutboxRelay implements Relay {
  readonly #options: RelayOptions;
  readonly #revocations: Lane;
  readonly #events: Lane;
  readonly #heartbeat: Heartbeat | undefined;
  readonly #unsubscribe: (() => void)[] = [];
  #publisher: Publisher | undefined;
  // Grows each time the bus comes up: what was found out before then may be about another stream.
  #epoch = 0;
  #reissueDue = false;
  #stopped = true;
  #sweepTimer: NodeJS.Timeout | undefined;
  #sweeping: Promise<void> = Promise.resolve();
  #stragglersAt = performance.now();
  #observedAt = Number.NEGATIVE_INFINITY;
  #observeEveryMs = 5_000;

  constructor(options: RelayOptions) {
    this.#options = options;
    options.metrics.auditGap.inc({ service: options.service }, 0);
    this.#revocations = new Lane(
      () => 0,
      () => this.#flush(REVOCATION_LANE, REVOCATION_BATCH_MAX),
    );
    this.#events = new Lane(createPace(), () => this.#flush(EVENT_LANE, EVENT_BATCH_MAX));
    this.#heartbeat = options.heartbeat
      ? createHeartbeat({ bus: options.bus, onLoss: () => this.#reissue(REVOCATION_LANE, 'infinity') })
      : undefined;
  }

  poke(lane?: number): void {
    if (this.#stopped || !this.#options.bus.up) return;
    if (lane !== EVENT_LANE) this.#revocations.poke();
    if (lane !== REVOCATION_LANE) this.#events.poke();
  }

  start(): void {
    if (!this.#stopped) return;
    this.#stopped = false;
    this.#unsubscribe.push(
      this.#options.bus.onUp((nc) => this.#cameUp(nc)),
      this.#options.bus.onDown(() => this.#publisher?.abandon()),
    );
    this.#nextSweep();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#sweepTimer);
    for (const off of this.#unsubscribe.splice(0)) off();
    await Promise.all([this.#revocations.stop(), this.#events.stop(), this.#sweeping]);
    this.#publisher?.close();
    this.#publisher = undefined;
  }

  async drain(deadlineMs: number): Promise<void> {
    const until = performance.now() + deadlineMs;
    const lanes = [this.#revocations, this.#events];
    while (!this.#stopped && this.#options.bus.up && performance.now() < until) {
      const outcomes = await Promise.all(lanes.map((lane) => lane.now()));
      if (outcomes.every(({ found, failed }) => found === 0 || failed)) break;
    }
    await this.stop();
  }

  async #flush(lane: number, limit: number): Promise<Flushed> {
    const { bus, log } = this.#options;
    if (this.#publisher === undefined || !bus.up) return { found: 0, failed: false };
    try {
      const result = await publishBatch(this.#batch(this.#publisher, lane, limit));
      if (result.missing) bus.repair();
      if (result.refusal !== undefined)
        log.error({ refusal: result.refusal, lane }, 'events refused by nats');
      return {
        found: result.found,
        more: result.found === limit,
        failed: result.found > 0 && result.published === 0,
      };
    } catch (err) {
      log.warn({ err, lane }, 'outbox batch failed');
      return { found: 0, failed: true };
    }
  }

  #batch(publisher: Publisher, lane: number, limit: number): BatchOptions {
    const { pool, metrics, service } = this.#options;
    const source = this.#options.source ?? `/gatehouse/${service}`;
    return { pool, publisher, metrics, source, lane, limit, stragglers: false };
  }

  #cameUp(nc: NatsConnection): void {
    if (this.#publisher?.nc !== nc) {
      this.#publisher?.close();
      this.#publisher = createPublisher(nc);
    }
    this.#epoch += 1;
    this.#reissueDue = true;
    this.#reissueAll().catch((err: unknown) => this.#options.log.warn({ err }, 'cannot publish again yet'));
  }

  /** Until this has run, nobody knows what the stream lacks: the sweep repeats it, and no heartbeat goes out. */
  async #reissueAll(): Promise<void> {
    const { bus } = this.#options;
    const epoch = this.#epoch;
    // A batch that the old stream acknowledged must be marked before this looks for what is marked.
    await Promise.all([this.#revocations.settled(), this.#events.settled()]);
    await this.#reissue(REVOCATION_LANE, bus.createdAt(revocationStream));
    this.#revocations.wake();
    await this.#reissue(EVENT_LANE, bus.createdAt(eventStream));
    this.#events.wake();
    if (epoch === this.#epoch) this.#reissueDue = false;
  }

  /**
   * Events published to a stream that is no more are published again. A minute's margin for clocks that differ:
   * one too many is dropped by the stream or by the consumer's inbox.
   */
  async #reissue(lane: number, createdAt: string | undefined): Promise<void> {
    const { pool, log } = this.#options;
    if (createdAt === undefined) return;
    const { rowCount } = await pool.query(
      `update outbox set published_at = null
       where published_at is not null and lane = $1 and published_at < $2::timestamptz + interval '1 minute'`,
      [lane, createdAt],
    );
    if (rowCount) log.warn({ lane, events: rowCount }, 'publishing again to a new stream');
  }

  #nextSweep(): void {
    this.#sweeping = this.#sweep()
      .catch((err: unknown) => this.#options.log.debug({ err }, 'outbox sweep failed'))
      .then(() => {
        if (!this.#stopped) this.#sweepTimer = setTimeout(() => this.#nextSweep(), SWEEP_MS).unref();
      });
  }

  async #sweep(): Promise<void> {
    const { bus, pool } = this.#options;
    if (bus.up) {
      if (this.#reissueDue) await this.#reissueAll();
      const epoch = this.#epoch;
      const { rows } = await pool.query<[boolean, boolean, boolean]>(sweepQuery);
      const [hasRevocations, hasEvents, late] = rows[0] ?? [false, false, true];
      if (hasRevocations) this.#revocations.poke();
      if (hasEvents) this.#events.poke();
      if (!late) await this.#heartbeat?.beat(() => epoch === this.#epoch && !this.#reissueDue);
      if (hasRevocations || hasEvents) await this.#takeStragglers();
    }
    await this.#observe();
  }

  async #takeStragglers(): Promise<void> {
    if (this.#publisher === undefined || performance.now() - this.#stragglersAt < STRAGGLERS_EVERY_MS) return;
    this.#stragglersAt = performance.now();
    for (const lane of [REVOCATION_LANE, EVENT_LANE])
      await publishBatch({ ...this.#batch(this.#publisher, lane, EVENT_BATCH_MAX), stragglers: true });
  }

  async #observe(): Promise<void> {
    const begun = performance.now();
    if (begun - this.#observedAt < this.#observeEveryMs) return;
    this.#observedAt = begun;
    const { pool, metrics, service } = this.#options;
    await observeOutbox(pool, metrics, service);
    // Counting a long backlog takes a while; it may take a twentieth of the time.
    this.#observeEveryMs = Math.max(5_000, 20 * (performance.now() - begun));
  }
}

const sweepQuery = {
  name: 'outbox_sweep',
  text: `select exists (select from outbox where published_at is null and lane = 0),
    exists (select from outbox where published_at is null and lane = 1),
    exists (select from outbox where published_at is null and lane = 0
      and occurred_at < now() - interval '200 milliseconds')`,
  values: [],
  rowMode: 'array' as const,
};

/**
 * How long the event lane waits for more before its next batch. While the event loop is idle: next to nothing; while
 * it is busy answering requests, fewer and fuller batches cost it less (up to 400 ms apart).
 */
function createPace(): () => number {
  let last = performance.eventLoopUtilization();
  let lastAt = performance.now();
  let intervalMs = 0;
  return () => {
    const now = performance.now();
    const sinceLast = now - lastAt;
    if (sinceLast > 50) {
      const current = performance.eventLoopUtilization();
      const { utilization } = performance.eventLoopUtilization(current, last);
      last = current;
      intervalMs = utilization < 0.4 ? 50 : 50 + ((utilization - 0.4) / 0.6) * 350;
    }
    const waitMs = Math.max(GATHER_MS, intervalMs - sinceLast);
    lastAt = now + waitMs;
    return waitMs;
  };
}
