import { type Kysely, sql, type Transaction } from 'kysely';
import type { BatchFacts } from './consume.ts';
import { isConnectivityError } from './database-error.ts';
import type { IncomingEvent } from './envelope.ts';
import { PeerError } from './peer.ts';

// biome-ignore lint/suspicious/noExplicitAny: any service's tables; Kysely is invariant in them.
type AnyDatabase = any;
type Tx = Transaction<AnyDatabase>;

/** How a consumer's effect is written. */
export type Handle = (tx: Tx, events: readonly IncomingEvent[], facts: BatchFacts) => Promise<void>;

/**
 * Effect and inbox rows in one transaction: an event that is in the inbox has had its effect, whatever is delivered
 * again. Returns how many were new. @throws what the handler or Postgres throws; nothing has happened then.
 */
export async function handleOnce(
  db: Kysely<AnyDatabase>,
  work: { consumer: string; events: readonly IncomingEvent[]; handle: Handle; trial?: string },
): Promise<number> {
  const { consumer, events, handle, trial } = work;
  return db.transaction().execute(async (tx) => {
    const fresh = await enter(tx, consumer, events);
    if (fresh.length > 0)
      await handle(tx, fresh, { fresh: fresh.every(({ deliveries }) => deliveries === 1) });
    if (trial !== undefined) await endTrials(tx, consumer, [trial]);
    return fresh.length;
  });
}

async function enter(
  tx: Tx,
  consumer: string,
  events: readonly IncomingEvent[],
): Promise<readonly IncomingEvent[]> {
  const ids = events.map(({ id }) => id);
  // In one order everywhere: two instances with overlapping batches would lock each other out for good otherwise.
  const { rows } = await sql<{ event_id: string }>`
    insert into inbox (consumer, event_id)
    select ${consumer}, id from unnest(${ids}::uuid[]) as id order by id
    on conflict do nothing returning event_id`.execute(tx);
  if (rows.length === events.length) return events;
  const missing = new Set(rows.map(({ event_id }) => event_id));
  // `delete` and not `has`: the same event twice in one batch is handled once.
  return events.filter(({ id }) => missing.delete(id));
}

const trialOf = (consumer: string) => `${consumer}#trial`;

/**
 * Notes, before anything can go wrong, that an event is about to be tried alone. Returns whether an earlier trial of it
 * was begun and never ended: that one took the process with it.
 */
export async function beginTrial(db: Kysely<AnyDatabase>, consumer: string, id: string): Promise<boolean> {
  const { rows } = await sql`
    insert into inbox (consumer, event_id) values (${trialOf(consumer)}, ${id}::uuid)
    on conflict do nothing returning event_id`.execute(db);
  return rows.length === 0;
}

/** Takes the notes back: these trials ended, in whatever way, with the process alive. */
export async function endTrials(
  db: Kysely<AnyDatabase>,
  consumer: string,
  ids: readonly string[],
): Promise<void> {
  if (ids.length === 0) return;
  await sql`delete from inbox where consumer = ${trialOf(consumer)} and event_id = any(${ids}::uuid[])`.execute(
    db,
  );
}

/** Which of these events are in a trial that was begun and has not ended. */
export async function openTrials(
  db: Kysely<AnyDatabase>,
  consumer: string,
  ids: readonly string[],
): Promise<Set<string>> {
  const { rows } = await sql<{ event_id: string }>`
    select event_id from inbox where consumer = ${trialOf(consumer)} and event_id = any(${ids}::uuid[])`.execute(
    db,
  );
  return new Set(rows.map(({ event_id }) => event_id));
}

/** A message given up on. */
export interface DeadLetter {
  readonly consumer: string;
  /** null: it could not be read. */
  readonly eventId: string | null;
  readonly type: string;
  readonly subject: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly payload: Uint8Array;
  readonly reason: string;
  readonly deliveries: number;
}

/** Keeps a message that cannot be handled, with the inbox row that stops its duplicates from trying again. */
export async function bury(db: Kysely<AnyDatabase>, letter: DeadLetter): Promise<void> {
  const { consumer, eventId, type, subject, payload, deliveries } = letter;
  const headers = clean(JSON.stringify(letter.headers));
  await db.transaction().execute(async (tx) => {
    if (eventId !== null) {
      const { rows } = await sql`
        insert into inbox (consumer, event_id) values (${consumer}, ${eventId}::uuid)
        on conflict do nothing returning event_id`.execute(tx);
      await endTrials(tx, consumer, [eventId]);
      if (rows.length === 0) return; // handled or buried meanwhile
    }
    await sql`
      insert into dead_letter (consumer, event_id, type, subject, headers, payload, reason, deliveries)
      values (${consumer}, ${eventId}::uuid, ${clean(type)}, ${clean(subject)}, ${headers}::jsonb,
        ${Buffer.from(payload)}, ${clean(letter.reason).slice(0, 2000)}, ${deliveries})`.execute(tx);
  });
}

// Postgres takes neither NUL nor half a surrogate pair, and a dead letter must always find its place.
function clean(text: string): string {
  return text.toWellFormed().replaceAll('\0', '\ufffd').replaceAll('\\u0000', '\\ufffd');
}

/** Whether an error says that something everybody needs is away: no fault of the message, and no use in trying others. */
export function isOutage(error: unknown): boolean {
  if (error instanceof PeerError) return error.status === undefined || error.status === 503;
  if (isConnectivityError(error)) return true;
  const code = codeOf(error);
  // 25006: a replica that was just promoted, or not yet. 58: disk. 25P03: the connection was idle for too long.
  return code !== undefined && (/^58/.test(code) || code === '25006' || code === '25P03');
}

/** Whether Postgres broke off one of two transactions that were in each other's way: trying again at once is right. */
export function isCollision(error: unknown): boolean {
  const code = codeOf(error);
  return code === '40001' || code === '40P01';
}

function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
