import type { ColumnType, Generated } from 'kysely';

/** The clock is the database's: these are left out of an insert (tests may give one, to age a row). Read as Date. */
export type CreatedAt = ColumnType<Date, Date | string | undefined, Date | string>;

/** timestamptz that may be null. Read as Date; written as Date, RFC 3339 text, or an `sql` expression. */
export type Moment = ColumnType<Date | null, Date | string | null | undefined, Date | string | null>;

/** timestamptz that must be given. */
export type RequiredMoment = ColumnType<Date, Date | string, Date | string>;

/** A JSON object. Never a top-level array: `pg` would send that as a Postgres array, not as JSON. */
export type JsonObject = { readonly [key: string]: unknown };

/** An event waiting to be published, written in the transaction of the change that it tells of. */
export interface OutboxTable {
  /** UUID v7 made by the writer; also the Nats-Msg-Id and the id of the audit row. */
  id: string;
  /** 0 = revocation feed (goes first), 1 = events. */
  lane: Generated<number>;
  /** Event type; CloudEvents `type`. */
  type: string;
  /** NATS subject. */
  subject: string;
  tenant_id: string | null;
  /** What the event is about, such as `session:<uuid>`. */
  aggregate: string;
  /** Grows with every row of this table (an identity): orders the events of one aggregate. May have gaps. */
  sequence: ColumnType<number, never, never>;
  data: JsonObject;
  /** W3C traceparent of the request that caused it. */
  traceparent: string | null;
  occurred_at: CreatedAt;
  published_at: Moment;
  /** How often the relay has tried to publish it. */
  attempts: Generated<number>;
}

/** Which events a consumer has already dealt with: written in the transaction of the effect. */
export interface InboxTable {
  consumer: string;
  event_id: string;
  received_at: CreatedAt;
}

/** Messages that a consumer gave up on, with all that a replay needs. */
export interface DeadLetterTable {
  id: Generated<string>;
  consumer: string;
  /** null when the message carried no readable event id. */
  event_id: string | null;
  type: string;
  subject: string;
  headers: ColumnType<JsonObject, JsonObject | undefined, JsonObject>;
  payload: Buffer;
  reason: string;
  /** Deliveries tried before giving up. */
  deliveries: number;
  created_at: CreatedAt;
  replayed_at: Moment;
  /** When somebody decided that it will never be taken. It may be replayed all the same; then both are set. */
  discarded_at: Moment;
}

/**
 * The three tables that each service's schema has in the same shape. Code that serves every service takes
 * `Kysely<KitDatabase>`; see {@link kitTables}.
 */
export interface KitDatabase {
  outbox: OutboxTable;
  inbox: InboxTable;
  dead_letter: DeadLetterTable;
}
