import type { JsMsg } from '@nats-io/jetstream';
import type { Kysely } from 'kysely';
import { type IncomingEvent, Malformed, readEvent } from './envelope.ts';
import {
  beginTrial,
  bury,
  type DeadLetter,
  endTrials,
  type Handle,
  handleOnce,
  isCollision,
  isOutage,
  openTrials,
} from './inbox.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import { inBatchSpan } from './trace.ts';

/** What dealing with messages needs. */
export interface DeliverOptions {
  // biome-ignore lint/suspicious/noExplicitAny: any service's tables; Kysely is invariant in them.
  readonly db: Kysely<any>;
  readonly log: Log;
  readonly metrics: Metrics;
  /** The consumer's. */
  readonly name: string;
  readonly handle: Handle;
  /** Wait before the second delivery of an event that failed; doubles up to half a minute. */
  readonly retryMs: number;
}

interface Item {
  readonly message: JsMsg;
  readonly event: IncomingEvent;
}

/** A message is given up on at this delivery: when it fails once more, or when it has killed a process before. */
const DELIVERIES_MAX = 8;
/**
 * From this delivery on a message is tried alone, and noted before: should it kill the process, it is known which one
 * did. Its neighbours, whose deliveries grow with every crash as its own, never become dead letters for that.
 */
const TRIAL_FROM = 3;
const RETRY_MAX_MS = 30_000;
const COLLISIONS_MAX = 5;

/** Deals with what was delivered: every message ends acknowledged, to be delivered again, or as a dead letter. */
export class Deliverer {
  readonly #options: DeliverOptions;
  /** Trials that an outage cut short: their notes must go before they look like deaths. */
  readonly #cutShort = new Set<string>();

  constructor(options: DeliverOptions) {
    this.#options = options;
    const { metrics, name: consumer } = options;
    for (const result of ['ok', 'duplicate', 'retried', 'dead'] as const)
      metrics.eventsConsumed.inc({ consumer, result }, 0);
    metrics.deadLetters.inc({ consumer }, 0);
  }

  /** Returns false when Postgres (or what the handler needs) is away: the rest was given back, uncounted. */
  async take(messages: readonly JsMsg[]): Promise<boolean> {
    const open = new Set(messages);
    try {
      await this.#endCutShort();
      const items = await this.#read(messages, open);
      const suspects = items.filter(({ event }) => event.deliveries >= TRIAL_FROM);
      const others = suspects.length === 0 ? items : items.filter((item) => !suspects.includes(item));
      if (others.length > 0) await this.#together(others, open);
      for (const suspect of await this.#worstLast(suspects)) await this.#alone(suspect, open);
      return true;
    } catch (err) {
      for (const message of open) giveBack(message);
      const { name: consumer, log } = this.#options;
      if (!isOutage(err)) log.error({ err, consumer }, 'consumer failed');
      else log.warn({ err, consumer }, 'consumer waits for what it needs');
      return false;
    }
  }

  async #read(messages: readonly JsMsg[], open: Set<JsMsg>): Promise<Item[]> {
    const items: Item[] = [];
    for (const message of messages) {
      try {
        items.push({ message, event: readEvent(message) });
      } catch (error) {
        if (!(error instanceof Malformed)) throw error;
        await this.#bury(message, undefined, error.message);
        open.delete(message);
      }
    }
    return items;
  }

  async #together(items: readonly Item[], open: Set<JsMsg>, collisions = 0): Promise<void> {
    try {
      await this.#handle(items.map(({ event }) => event));
      for (const { message } of items) this.#ack(message, open);
    } catch (err) {
      if (isOutage(err)) throw err;
      if (isCollision(err) && collisions < COLLISIONS_MAX) return this.#together(items, open, collisions + 1);
      const [only] = items;
      if (items.length === 1 && only !== undefined) return this.#failed(only, err, open);
      this.#options.log.debug({ err, consumer: this.#options.name }, 'batch failed, trying its events alone');
      for (const item of items) await this.#together([item], open);
    }
  }

  async #alone({ message, event }: Item, open: Set<JsMsg>): Promise<void> {
    const { db, name } = this.#options;
    const killed = await beginTrial(db, name, event.id);
    if (killed && event.deliveries >= DELIVERIES_MAX) {
      await this.#bury(message, event, 'the process died each time it was handled');
      open.delete(message);
      return;
    }
    this.#cutShort.add(event.id);
    try {
      await this.#handle([event], event.id);
      this.#ack(message, open);
    } catch (err) {
      if (isOutage(err)) throw err;
      await endTrials(db, name, [event.id]);
      await this.#failed({ message, event }, err, open);
    }
    this.#cutShort.delete(event.id);
  }

  async #failed({ message, event }: Item, err: unknown, open: Set<JsMsg>): Promise<void> {
    const { log, metrics, name: consumer, retryMs } = this.#options;
    const { id, type, deliveries } = event;
    if (deliveries >= DELIVERIES_MAX) {
      await this.#bury(message, event, err instanceof Error ? `${err.name}: ${err.message}` : String(err));
    } else {
      log.warn({ err, consumer, id, type, deliveries }, 'event failed, it will be delivered again');
      metrics.eventsConsumed.inc({ consumer, result: 'retried' });
      giveBack(message, Math.min(RETRY_MAX_MS, retryMs * 2 ** (deliveries - 1)));
    }
    open.delete(message);
  }

  async #handle(events: readonly IncomingEvent[], trial?: string): Promise<void> {
    const { db, metrics, name: consumer, handle } = this.#options;
    const work = { consumer, events, handle, ...(trial === undefined ? {} : { trial }) };
    const traceparents = events.map(({ traceparent }) => traceparent);
    const handled = await inBatchSpan(`consume ${consumer}`, traceparents, 'consumer', () =>
      handleOnce(db, work),
    );
    if (handled > 0) metrics.eventsConsumed.inc({ consumer, result: 'ok' }, handled);
    if (handled < events.length)
      metrics.eventsConsumed.inc({ consumer, result: 'duplicate' }, events.length - handled);
  }

  #ack(message: JsMsg, open: Set<JsMsg>): void {
    acknowledge(message);
    open.delete(message);
  }

  async #bury(message: JsMsg, event: IncomingEvent | undefined, reason: string): Promise<void> {
    const { db, log, metrics, name: consumer } = this.#options;
    const { deliveryCount: deliveries } = message.info;
    const letter: DeadLetter = {
      ...{ consumer, eventId: event?.id ?? null, type: event?.type ?? message.headers?.get('ce-type') ?? '' },
      ...{ subject: message.subject, headers: headersOf(message), payload: message.data, reason, deliveries },
    };
    try {
      await bury(db, letter);
    } catch (err) {
      if (isOutage(err)) throw err;
      // One that cannot even be kept must not stop the others; the stream still has it.
      log.error({ err, consumer, id: event?.id }, 'dead letter cannot be kept');
      return giveBack(message, RETRY_MAX_MS);
    }
    acknowledge(message);
    metrics.eventsConsumed.inc({ consumer, result: 'dead' });
    metrics.deadLetters.inc({ consumer });
    log.error(
      { consumer, id: event?.id, subject: message.subject, deliveries },
      'event became a dead letter',
    );
  }

  /** Those that may have killed a process come after all others, which so have their turn before the next death. */
  async #worstLast(suspects: readonly Item[]): Promise<readonly Item[]> {
    if (suspects.length < 2) return suspects;
    const { db, name } = this.#options;
    const worst = await openTrials(
      db,
      name,
      suspects.map(({ event }) => event.id),
    );
    const rank = ({ event }: Item) => (worst.has(event.id) ? 1 : 0);
    return suspects.toSorted((one, other) => rank(one) - rank(other));
  }

  async #endCutShort(): Promise<void> {
    if (this.#cutShort.size === 0) return;
    await endTrials(this.#options.db, this.#options.name, [...this.#cutShort]);
    this.#cutShort.clear();
  }
}

// Without a connection there is nobody to tell: the message comes again, and the inbox knows it.
function acknowledge(message: JsMsg): void {
  try {
    message.ack();
  } catch {
    // closed
  }
}

/** Lets a message be delivered again, to whoever asks. */
export function giveBack(message: JsMsg, delayMs?: number): void {
  try {
    message.nak(delayMs);
  } catch {
    // closed: it is delivered again when its time to be acknowledged is over
  }
}

function headersOf(message: JsMsg): Record<string, string> {
  const { headers } = message;
  return Object.fromEntries((headers?.keys() ?? []).map((key) => [key, headers?.get(key) ?? '']));
}
