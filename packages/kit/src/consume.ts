import type { Kysely, Transaction } from 'kysely';
import type { Bus } from './bus.ts';
import type { IncomingEvent } from './envelope.ts';
import type { Handle } from './inbox.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import { Subscriber } from './subscriber.ts';

export type { IncomingEvent } from './envelope.ts';

/** What a handler is told about its batch. */
export interface BatchFacts {
  /** No event of the batch was delivered before: times measured now are about the way here, not about a repair. */
  readonly fresh: boolean;
}

// biome-ignore lint/suspicious/noExplicitAny: any service's tables; Kysely is invariant in them.
type AnyDatabase = any;

type TransactionOf<Ctx> = Ctx extends { readonly db: Kysely<infer DB> }
  ? Transaction<DB>
  : Transaction<AnyDatabase>;

/** A durable consumer of events. Its effect happens once an event, however often the event is delivered. */
export interface ConsumerDefinition<Ctx> {
  /** Kebab-case, unique in the platform and for ever: name of the durable consumer, in the inbox, label of metrics. */
  readonly name: string;
  /** NATS subjects, e.g. `auth.>`; several must not overlap. */
  readonly filter: string | readonly string[];
  /** Most events in one transaction; 128 unless given. */
  readonly batchMax?: number;
  /** Wait before the second delivery of an event that failed, 500 unless given; doubles up to half a minute. */
  readonly retryMs?: number;
  /** When an event that a dead instance held is delivered to another, 30 unless given; a batch must take less. */
  readonly ackWaitSeconds?: number;
  /**
   * Makes the handler. It gets events it has never completed before, in the order of delivery (redelivered events come
   * late: order by `sequence` within one aggregate where it matters), and does all its work in `tx`. A throw undoes the
   * whole batch; its events are then tried one by one, and one that fails 8 deliveries becomes a dead letter.
   * Errors that say Postgres or a peer is away are nobody's fault and are not counted.
   */
  readonly handle: (
    ctx: Ctx,
  ) => (tx: TransactionOf<Ctx>, events: readonly IncomingEvent[], facts: BatchFacts) => Promise<void>;
}

/** Declares a consumer. */
export function consumer<Ctx>(definition: ConsumerDefinition<Ctx>): ConsumerDefinition<Ctx> {
  return definition;
}

/** What a consumer needs of its service's context. */
export interface ConsumerContext {
  readonly db: Kysely<AnyDatabase>;
  readonly bus: Bus;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** A consumer at work. */
export interface RunningConsumer {
  /** Finishes the batch under way and gives back what it has not begun. */
  stop(): Promise<void>;
}

/** Starts a consumer and returns at once: the bus may come at any time. `ctx` goes to the definition's handler. */
export async function startConsumer(
  definition: ConsumerDefinition<never>,
  ctx: ConsumerContext,
): Promise<RunningConsumer> {
  const { name, filter, batchMax = 128 } = definition;
  const subscriber = new Subscriber({
    ...{ db: ctx.db, bus: ctx.bus, log: ctx.log, metrics: ctx.metrics },
    ...{ name, batchMax, filters: typeof filter === 'string' ? [filter] : [...filter] },
    retryMs: definition.retryMs ?? 500,
    ackWaitSeconds: definition.ackWaitSeconds ?? 30,
    handle: definition.handle(ctx as never) as Handle,
  });
  return { stop: () => subscriber.stop() };
}
