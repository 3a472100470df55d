import type { EventData, EventType } from '@gatehouse/events';
import { type Kysely, sql, type Transaction } from 'kysely';
import { isUuid, newId } from './id.ts';
import type { RevocationEntry } from './revocations.ts';
import { revocationSubject } from './streams.ts';

export type { RevocationEntry } from './revocations.ts';

/** An event as the code that makes a change writes it; its data is checked against the catalogue. */
export interface NewEvent<T extends EventType = EventType> {
  readonly type: T;
  readonly tenant_id: string | null;
  /** What it is about, e.g. `session:<uuid>`: orders the events of one thing. */
  readonly aggregate: string;
  /** Of the request that caused it. */
  readonly traceparent: string | null;
  readonly data: EventData<T>;
}

/** Any event of the catalogue, its data tied to its type. */
export type AnyNewEvent = { [T in EventType]: NewEvent<T> }[EventType];

/** Lane of the revocation feed: goes to the bus first, in batches of its own, and never waits for events. */
export const REVOCATION_LANE = 0;
/** Lane of the events of the catalogue. */
export const EVENT_LANE = 1;

/** Type (and subject) of the rows of the revocation lane. */
export const revocationType = revocationSubject;

/** Session ids in one entry: 200 kB, well below the 1 MB that a message may have. */
const ENTRY_SIDS_MAX = 5_000;

/**
 * The head of every insert into the outbox, for hot paths that write the event as a CTE of the same statement:
 * `…, told as (${OUTBOX_INSERT} select $1, 1, $2, $2, tenant_id, 'session:' || id, $3::jsonb, $4 from spent)`.
 * Columns: id (`newId()`), lane (EVENT_LANE), type, subject (the type again), tenant_id, aggregate, data
 * (`eventJson()`, completed in SQL with `||` where it must), traceparent.
 */
export const OUTBOX_INSERT =
  'insert into outbox (id, lane, type, subject, tenant_id, aggregate, data, traceparent)';

// Its text is the same for one event and for many: one plan serves both.
const insertAll = sql.raw(
  `${OUTBOX_INSERT} select id, lane, type, type, tenant_id, aggregate, data, traceparent from jsonb_to_recordset(`,
);
const asRows = sql.raw(
  '::jsonb) as e(id uuid, lane smallint, type text, tenant_id uuid, aggregate text, data jsonb, traceparent text)',
);

/** Writes an event into the transaction of the change that it tells of; returns its id. Poke the relay after commit. */
export async function append<T extends EventType, DB extends { outbox: unknown }>(
  tx: Transaction<DB>,
  event: NewEvent<T>,
): Promise<string> {
  return appendAlone(tx, event);
}

/** Writes an event that no change goes with: a statement of its own. Returns its id. Poke the relay after it. */
export async function appendAlone<T extends EventType, DB extends { outbox: unknown }>(
  db: Kysely<DB>,
  event: NewEvent<T>,
): Promise<string> {
  const row = rowOf(event);
  await insert(db, [row]);
  return row.id;
}

/** Writes many events with one statement, in their order; returns their ids. */
export async function appendMany<DB extends { outbox: unknown }>(
  tx: Transaction<DB>,
  events: readonly AnyNewEvent[],
): Promise<string[]> {
  const rows = events.map(rowOf);
  if (rows.length > 0) await insert(tx, rows);
  return rows.map(({ id }) => id);
}

/** Writes to the revocation feed, with one statement. Poke lane 0 of the relay after commit. */
export async function appendRevocation<DB extends { outbox: unknown }>(
  tx: Transaction<DB>,
  entry: RevocationEntry,
  traceparent: string | null = null,
): Promise<void> {
  const rows = split(entry).map((data) => ({
    id: newId(),
    lane: REVOCATION_LANE,
    type: revocationType,
    tenant_id: null,
    aggregate: 'user_id' in data ? `user:${data.user_id}` : 'kids' in data ? 'key' : 'session',
    data,
    traceparent,
  }));
  if (rows.length > 0) await insert(tx, rows);
}

/** The data of an event as JSON that Postgres takes as jsonb, type-checked: for statements written as text. */
export function eventJson<T extends EventType>(_type: T, data: Partial<EventData<T>>): string {
  return jsonbText(data);
}

/**
 * A value as JSON that jsonb takes whatever a caller sent: NUL and lone surrogates, which Postgres refuses
 * (22P05: that would be a 500 by input), become U+FFFD.
 */
export function jsonbText(value: unknown): string {
  const text = JSON.stringify(value);
  // JSON.stringify escapes a surrogate only when it is alone. An escaped backslash is skipped as a pair.
  if (!text.includes('\\u')) return text;
  return text.replace(/\\(?:\\|u0000|ud[89a-f][0-9a-f]{2})/g, (found) =>
    found === '\\\\' ? found : '\\ufffd',
  );
}

interface Row {
  readonly id: string;
  readonly lane: number;
  readonly type: string;
  readonly tenant_id: string | null;
  readonly aggregate: string;
  readonly data: unknown;
  readonly traceparent: string | null;
}

function rowOf(event: Omit<NewEvent, 'data'> & { readonly data: unknown }): Row {
  const { type, tenant_id, aggregate, data, traceparent } = event;
  return {
    id: newId(),
    lane: EVENT_LANE,
    type,
    // A refused sign-in may name any text as its tenant; the event of it must not fail for that.
    tenant_id: tenant_id !== null && isUuid(tenant_id) ? tenant_id : null,
    aggregate,
    data,
    traceparent,
  };
}

function split(entry: RevocationEntry): RevocationEntry[] {
  if (!('sids' in entry) || entry.sids.length <= ENTRY_SIDS_MAX)
    return 'sids' in entry && entry.sids.length === 0 ? [] : [entry];
  const { sids, until } = entry;
  return Array.from({ length: Math.ceil(sids.length / ENTRY_SIDS_MAX) }, (_, part) => ({
    sids: sids.slice(part * ENTRY_SIDS_MAX, (part + 1) * ENTRY_SIDS_MAX),
    until,
  }));
}

async function insert<DB>(db: Kysely<DB>, rows: readonly Row[]): Promise<void> {
  await sql`${insertAll}${jsonbText(rows)}${asRows}`.execute(db);
}
