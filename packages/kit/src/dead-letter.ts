import { type Kysely, sql, type Transaction } from 'kysely';
import type { Pool } from 'pg';
import { Malformed, readKept } from './envelope.ts';
import { isUuid } from './id.ts';
import { type Handle, isCollision, isOutage } from './inbox.ts';
import { append } from './outbox.ts';

/** A message that a consumer gave up on, as lists show it. */
export interface DeadLetterSummary {
  readonly id: string;
  readonly consumer: string;
  /** null: it was no event when it came. */
  readonly event_id: string | null;
  readonly type: string;
  readonly subject: string;
  /** Why it was given up on, or why the last replay failed. */
  readonly reason: string;
  /** How often it was tried, replays included. */
  readonly deliveries: number;
  /** RFC 3339 with microseconds: with `id` the order of the list. */
  readonly created_at: string;
  readonly replayed_at: string | null;
  readonly discarded_at: string | null;
}

/** A dead letter with what it holds. */
export interface DeadLetterRow extends DeadLetterSummary {
  readonly headers: Readonly<Record<string, string>>;
  /** As text; what is not UTF-8 shows as U+FFFD. */
  readonly payload: string;
}

// Every letter is in one of the first three. One that was discarded and replayed after all was taken: it is replayed.
const states = {
  open: 'replayed_at is null and discarded_at is null',
  replayed: 'replayed_at is not null',
  discarded: 'replayed_at is null and discarded_at is not null',
  all: 'true',
} as const;

/** Which dead letters to list. */
export interface DeadLetterFilter {
  readonly consumer?: string | null;
  /** `open` unless given: those that wait. */
  readonly state?: keyof typeof states;
  /** Only older than this one. */
  readonly before?: Pick<DeadLetterSummary, 'created_at' | 'id'> | null;
  /** 100 unless given. */
  readonly limit?: number;
}

const rfc3339 = (column: string) =>
  `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as ${column}`;
const times = ['created_at', 'replayed_at', 'discarded_at'];
const summary = `id, consumer, event_id, type, subject, reason, deliveries, ${times.map(rfc3339).join(', ')}`;

/** Lists the dead letters of a service (the pool's), newest first. */
export async function listDeadLetters(
  pool: Pool,
  { consumer = null, state = 'open', before = null, limit = 100 }: DeadLetterFilter = {},
): Promise<DeadLetterSummary[]> {
  const { rows } = await pool.query<DeadLetterSummary>(
    `select ${summary} from dead_letter
     where ($1::text is null or consumer = $1)
       and ${states[state]}
       and ($2::timestamptz is null or (dead_letter.created_at, id) < ($2::timestamptz, $3::uuid))
     order by dead_letter.created_at desc, id desc limit $4`,
    [consumer, before?.created_at ?? null, before?.id ?? null, limit],
  );
  return rows;
}

/** One dead letter with its contents; undefined when the service has none of that id. */
export async function readDeadLetter(pool: Pool, id: string): Promise<DeadLetterRow | undefined> {
  if (!isUuid(id)) return undefined;
  const { rows } = await pool.query<Omit<DeadLetterRow, 'payload'> & { payload: Buffer }>(
    `select ${summary}, headers, payload from dead_letter where id = $1`,
    [id],
  );
  return rows.map((row) => ({ ...row, payload: row.payload.toString() }))[0];
}

/** Who changes what becomes of a dead letter, and why. */
export interface DeadLetterCause {
  readonly actor_id: string | null;
  readonly reason: string;
  readonly client_ip: string | null;
  readonly user_agent: string | null;
  readonly traceparent: string | null;
}

/** What the event of such a change says of whoever made it, and of the letter. */
export const toldOf = (
  { id, consumer }: Pick<DeadLetterSummary, 'id' | 'consumer'>,
  { service, cause: { traceparent, ...by } }: { readonly service: string; readonly cause: DeadLetterCause },
) => ({
  tenant_id: null,
  aggregate: `dead-letter:${id}`,
  traceparent,
  data: { ...by, service, letter_id: id, consumer },
});

/**
 * What became of a replay. `unreadable`: it is no event, so no consumer can take it. `no_consumer`: this release has no
 * consumer of that name. `failed`: the consumer refused it again, and says why.
 */
export type Replay =
  | { readonly outcome: 'replayed' | 'already_replayed' | 'unknown' | 'unreadable' | 'no_consumer' }
  | { readonly outcome: 'failed'; readonly reason: string };

/** Whose letters are replayed, and by what. */
export interface ReplayOptions {
  readonly service: string;
  /** Handlers by the names of their consumers. */
  readonly handles: ReadonlyMap<string, Handle>;
  readonly cause: DeadLetterCause;
}

/**
 * Puts a dead letter before the consumer that gave up on it: once, however often it is asked for. It goes straight to
 * the handler and not over the bus, where it would reach every other consumer as well. The effect, the mark on the
 * letter and the event that tells of it are one transaction: a kill at any moment leaves all of it or nothing. One that
 * was discarded may be replayed: its payload is still there, and a decision of a person may have been wrong.
 *
 * @throws what says that Postgres or a peer is away: nothing has happened then.
 */
export async function replayDeadLetter(
  // biome-ignore lint/suspicious/noExplicitAny: any service's tables; Kysely is invariant in them.
  db: Kysely<any>,
  id: string,
  options: ReplayOptions,
): Promise<Replay> {
  if (!isUuid(id)) return { outcome: 'unknown' };
  try {
    return await db.transaction().execute((tx) => replayIn(tx, id, options));
  } catch (error) {
    if (error instanceof Malformed) return { outcome: 'unreadable' };
    if (isOutage(error) || isCollision(error)) throw error;
    const reason = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
    await noteFailure(db, id, reason);
    return { outcome: 'failed', reason };
  }
}

// biome-ignore lint/suspicious/noExplicitAny: as above.
async function replayIn(tx: Transaction<any>, id: string, options: ReplayOptions): Promise<Replay> {
  const { rows } = await sql<KeptRow>`
    select consumer, event_id, headers, payload, deliveries, created_at, replayed_at
    from dead_letter where id = ${id} for update`.execute(tx);
  const [letter] = rows;
  if (letter === undefined) return { outcome: 'unknown' };
  if (letter.replayed_at !== null) return { outcome: 'already_replayed' };
  const handle = options.handles.get(letter.consumer);
  if (handle === undefined) return { outcome: 'no_consumer' };
  const event = readKept(letter);
  // It is there since the letter is, unless it was purged: whatever is delivered again stays without effect.
  await sql`insert into inbox (consumer, event_id) values (${letter.consumer}, ${event.id}::uuid)
    on conflict do nothing`.execute(tx);
  await handle(tx, [event], { fresh: false });
  await sql`update dead_letter set replayed_at = now(), deliveries = deliveries + 1 where id = ${id}`.execute(
    tx,
  );
  await append(tx, { type: 'admin.dead_letter.replayed', ...toldOf({ id, ...letter }, options) });
  return { outcome: 'replayed' };
}

interface KeptRow {
  readonly consumer: string;
  readonly event_id: string | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly payload: Buffer;
  readonly deliveries: number;
  readonly created_at: Date;
  readonly replayed_at: Date | null;
}

// The letter stays open and says what stood in its way the last time.
// biome-ignore lint/suspicious/noExplicitAny: as above.
async function noteFailure(db: Kysely<any>, id: string, reason: string): Promise<void> {
  const kept = reason.toWellFormed().replaceAll('\0', '\ufffd').slice(0, 2000);
  await sql`update dead_letter set reason = ${kept}, deliveries = deliveries + 1
    where id = ${id} and replayed_at is null`.execute(db);
}
