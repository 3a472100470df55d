import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import {
  AckPolicy,
  type ConsumerInfo,
  type ConsumerMessages,
  DeliverPolicy,
  type JetStreamManager,
  type JsMsg,
  jetstreamManager,
} from '@nats-io/jetstream';
import { nanos } from '@nats-io/nats-core';
import { sql } from 'kysely';
import { type Bus, eventStream } from './bus.ts';
import { Deliverer, type DeliverOptions, giveBack } from './deliver.ts';
import { API_STREAM_NOT_FOUND, API_TIMEOUT_MS, isApiError } from './streams.ts';

/** What following a durable consumer needs. */
export interface SubscriberOptions extends DeliverOptions {
  readonly bus: Bus;
  readonly batchMax: number;
  readonly filters: readonly string[];
  /** Unanswered for this long, a message is delivered again. */
  readonly ackWaitSeconds: number;
}

const ACK_PENDING_MAX = 2_000;
const PREFETCH = 1_000;
/** While events keep coming, a batch begins this long after the one before; after a pause, at once. */
const GATHER_MS = 50;
const LAG_EVERY_MS = 5_000;
const BACKOFF_MAX_MS = 5_000;

/** Pulls a durable consumer's messages and hands them on in batches, through every loss of NATS and Postgres. */
export class Subscriber {
  readonly #options: SubscriberOptions;
  readonly #deliverer: Deliverer;
  readonly #stopping = new AbortController();
  readonly #living: Promise<void>;
  #buffer: JsMsg[] = [];
  #pumping: Promise<void> = Promise.resolve();
  #pumps = false;
  #lastBatchAt = Number.NEGATIVE_INFINITY;
  #outage = false;
  #leave: () => void = () => {};

  constructor(options: SubscriberOptions) {
    this.#options = options;
    this.#deliverer = new Deliverer(options);
    this.#living = this.#live();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#leave();
    await Promise.all([this.#living, this.#pumping]);
    this.#giveBack();
  }

  async #live(): Promise<void> {
    for (let attempt = 0; !this.#stopping.signal.aborted; attempt += 1) {
      await this.#busUp();
      if (this.#stopping.signal.aborted) return;
      try {
        await this.#follow(() => {
          attempt = 0;
        });
      } catch (err) {
        if (isApiError(err, API_STREAM_NOT_FOUND)) this.#options.bus.repair();
        this.#options.log.debug({ err, consumer: this.#options.name }, 'consumer cannot follow its stream');
        await this.#pause(attempt);
      }
      await this.#pumping;
      if (this.#outage) await this.#databaseUp();
    }
  }

  /** Until the consumer or its stream is gone, the bus is down, Postgres is down, or it is told to leave. */
  async #follow(began: () => void): Promise<void> {
    const { bus } = this.#options;
    const nc = bus.nc();
    if (nc === undefined) return;
    const jsm = await jetstreamManager(nc, { checkAPI: false, timeout: API_TIMEOUT_MS });
    const info = await this.#ensureConsumer(jsm);
    const messages = await jsm
      .jetstream()
      .consumers.getConsumerFromInfo(info)
      .consume({
        max_messages: PREFETCH,
        expires: 10_000,
        idle_heartbeat: 2_000,
        abort_on_missing_resource: true,
        callback: (message) => this.#arrived(message),
      });
    began();
    const left = new Promise<void>((resolve) => {
      this.#leave = resolve;
    });
    if (this.#stopping.signal.aborted) this.#leave();
    const forget = bus.onDown(() => this.#leave());
    const lag = setInterval(() => void this.#measureLag(jsm), LAG_EVERY_MS).unref();
    void this.#watch(messages);
    try {
      await Promise.race([left, messages.closed()]);
    } finally {
      clearInterval(lag);
      forget();
      messages.stop();
    }
  }

  /** Makes it, or brings the one that is there up to date. */
  #ensureConsumer(jsm: JetStreamManager): Promise<ConsumerInfo> {
    const { name, filters, ackWaitSeconds } = this.#options;
    const [only = '>'] = filters;
    return jsm.consumers.add(eventStream, {
      durable_name: name,
      ack_policy: AckPolicy.Explicit,
      deliver_policy: DeliverPolicy.All,
      ack_wait: nanos(ackWaitSeconds * 1000),
      max_ack_pending: ACK_PENDING_MAX,
      // Giving up is ours to do: the server would drop the message without a trace.
      max_deliver: -1,
      ...(filters.length > 1 ? { filter_subjects: [...filters] } : { filter_subject: only }),
    });
  }

  async #watch(messages: ConsumerMessages): Promise<void> {
    for await (const { type } of messages.status())
      if (type === 'consumer_deleted' || type === 'consumer_not_found' || type === 'stream_not_found')
        this.#leave();
  }

  /** Also finds out that the consumer is gone when nobody has said so. */
  async #measureLag(jsm: JetStreamManager): Promise<void> {
    const { name: consumer, metrics, log } = this.#options;
    try {
      const info = await jsm.consumers.info(eventStream, consumer);
      metrics.consumerLag.set({ consumer }, info.num_pending + info.num_ack_pending);
    } catch (err) {
      log.debug({ err, consumer }, 'consumer lag cannot be measured');
      if (isApiError(err, API_CONSUMER_NOT_FOUND) || isApiError(err, API_STREAM_NOT_FOUND)) this.#leave();
    }
  }

  #arrived(message: JsMsg): void {
    this.#buffer.push(message);
    if (this.#pumps || this.#stopping.signal.aborted) return;
    this.#pumps = true;
    this.#pumping = this.#pump().finally(() => {
      this.#pumps = false;
    });
  }

  async #pump(): Promise<void> {
    const { signal } = this.#stopping;
    const { batchMax } = this.#options;
    while (this.#buffer.length > 0 && !signal.aborted) {
      const waitMs = this.#lastBatchAt + GATHER_MS - performance.now();
      if (waitMs > 1 && this.#buffer.length < batchMax)
        await delay(waitMs, undefined, { signal }).catch(() => {});
      else await turn(); // what came in with the same packet goes into the same batch
      if (signal.aborted) return;
      this.#lastBatchAt = performance.now();
      if (await this.#deliverer.take(this.#buffer.splice(0, batchMax))) continue;
      this.#outage = true;
      this.#giveBack();
      this.#leave();
      return;
    }
  }

  /** What was fetched and not begun: another instance may take it at once, or we when we are able to. */
  #giveBack(): void {
    for (const message of this.#buffer.splice(0)) giveBack(message);
  }

  async #busUp(): Promise<void> {
    const { bus } = this.#options;
    const { signal } = this.#stopping;
    await new Promise<void>((resolve) => {
      let forget: (() => void) | undefined;
      const done = () => {
        signal.removeEventListener('abort', done);
        // onUp calls back at once when the bus is up: before there is anything to forget.
        queueMicrotask(() => forget?.());
        resolve();
      };
      signal.addEventListener('abort', done);
      if (signal.aborted) done();
      forget = bus.onUp(done);
    });
  }

  async #databaseUp(): Promise<void> {
    for (let attempt = 0; !this.#stopping.signal.aborted; attempt += 1) {
      await this.#pause(attempt);
      try {
        await sql`select 1`.execute(this.#options.db);
        this.#outage = false;
        return;
      } catch (err) {
        this.#options.log.debug({ err, consumer: this.#options.name }, 'the database is still away');
      }
    }
  }

  async #pause(attempt: number): Promise<void> {
    const { signal } = this.#stopping;
    const waitMs = Math.min(BACKOFF_MAX_MS, 100 * 2 ** Math.min(attempt, 10));
    await delay(waitMs, undefined, { signal, ref: false }).catch(() => {});
  }
}

const API_CONSUMER_NOT_FOUND = 10_014;
