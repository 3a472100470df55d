import { Problem } from '@gatehouse/kit';
import type { AuditDatabase } from '@gatehouse/schema';
import { type Kysely, type RawBuilder, type SqlBool, sql } from 'kysely';
import type { EventRow } from './event-item.ts';
import type { Filters } from './search-filters.ts';

type Db = Kysely<AuditDatabase>;
type Condition = RawBuilder<SqlBool>;

/** Which rows of a search: those after a position, newest first. */
export interface Slice {
  /** Time and id of the last row given out; undefined on the first page. */
  readonly after: { readonly time: Date; readonly id: string } | undefined;
  readonly limit: number;
}

/**
 * The rows that a search asks for, newest first. Never slow by the length of the trail alone:
 * - a filter with an index in this order (tenant, user, actor, subject, address, trace, one type) is read off it;
 * - several types are read off theirs and merged;
 * - anything else first looks through the newest rows, where what is frequent is found at once; what is not found there
 *   is rare, and gathered by the indexes of its own, from a window of time that grows.
 */
export async function searchEvents(db: Db, filters: Filters, slice: Slice): Promise<EventRow[]> {
  try {
    const types = await typesMeant(db, filters.types);
    return types?.length === 0 ? [] : await new Search(db, filters, types).rows(slice);
  } catch (error) {
    if ((error as { code?: string }).code !== QUERY_CANCELED) throw error;
    // What the database gave up on after its time limit is a question to narrow, not a fault.
    throw new Problem('invalid_request', {
      detail: 'The search took too long: narrow it with from and to.',
    });
  }
}

const QUERY_CANCELED = '57014';

/** Rows that are looked through before indexes are asked; fewer where each costs more. */
const WALKED = 2_000;
const WALKED_FOR_WORDS = 1_000;
/** How much longer than the time of what was looked through the first window of the rest is. */
const WINDOW_FACTOR = 32;
/** Clocks of two database machines may differ by less than this; nothing is recorded earlier than it happened. */
const CLOCKS = '1 day';

const newestFirst = sql`order by occurred_at desc, id desc`;
const all = (conditions: readonly Condition[]): Condition =>
  conditions.length === 0 ? sql<SqlBool>`true` : sql<SqlBool>`${sql.join(conditions, sql` and `)}`;

class Search {
  readonly #db: Db;
  /** The time and the tenant: rows within these lie side by side in an index. */
  readonly #scope: readonly Condition[];
  /** Each has an index that gives its rows in order, few enough to look through for the other filters. */
  readonly #sharp: readonly Condition[];
  /** May be half of the trail, or nothing of it. */
  readonly #blunt: readonly Condition[];
  readonly #types: readonly string[] | undefined;
  readonly #walked: number;
  /** What the outcome or the severity asks for has an index, because little is. */
  readonly #seldom: boolean;

  constructor(db: Db, filters: Filters, types: readonly string[] | undefined) {
    this.#db = db;
    this.#types = types;
    this.#walked = filters.words === undefined ? WALKED : WALKED_FOR_WORDS;
    const { severity = 'info', outcome = 'success' } = filters;
    this.#seldom = severity !== 'info' || outcome !== 'success';
    this.#scope = scopeOf(filters);
    this.#sharp = sharpOf(filters);
    this.#blunt = bluntOf(filters);
  }

  rows({ after, limit }: Slice): Promise<EventRow[]> {
    const scope = after === undefined ? this.#scope : [...this.#scope, before(after)];
    const typed = this.#types === undefined ? [] : [typeIn(this.#types)];
    const rest = [...typed, ...this.#blunt];
    if (this.#sharp.length > 0 || rest.length === 0)
      return this.#ordered([...scope, ...this.#sharp, ...rest], limit);
    // With the tenant or without: each has an index for both.
    const alone = rest.length === 1;
    if (alone && this.#types !== undefined) return this.#byType(this.#types, scope, limit);
    if (alone && this.#seldom) return this.#ordered([...scope, ...rest], limit);
    return this.#walk(scope, rest, limit);
  }

  async #ordered(conditions: readonly Condition[], limit: number): Promise<EventRow[]> {
    const query = sql<EventRow>`select * from event where ${all(conditions)} ${newestFirst} limit ${limit}`;
    return (await query.execute(this.#db)).rows;
  }

  async #byType(types: readonly string[], scope: readonly Condition[], limit: number): Promise<EventRow[]> {
    const [only] = types;
    if (only !== undefined && types.length === 1)
      return this.#ordered([...scope, sql<SqlBool>`type = ${only}`], limit);
    const query = sql<EventRow>`
      select e.* from unnest(${types}::text[]) as t(wanted),
        lateral (select * from event where ${all([...scope, sql<SqlBool>`type = wanted`])} ${newestFirst} limit ${limit}) as e
      ${newestFirst} limit ${limit}`;
    return (await query.execute(this.#db)).rows;
  }

  /** First through the newest rows, then through a window of time, then through what is left. */
  async #walk(scope: readonly Condition[], rest: readonly Condition[], limit: number): Promise<EventRow[]> {
    const edge = await this.#edge(scope);
    if (edge === undefined) return this.#ordered([...scope, ...rest], limit);
    const newest = sql<SqlBool>`(occurred_at, id) >= (${edge.time}::timestamptz, ${edge.id}::uuid)`;
    const found = await this.#ordered([...scope, newest, ...rest], limit);
    if (found.length === limit) return found;
    const span = Math.max(1_000, edge.first.getTime() - edge.time.getTime()) * WINDOW_FACTOR;
    const until = new Date(Math.max(edge.time.getTime() - span, EARLIEST_MS));
    const older = [...scope, before(edge), ...rest];
    const inWindow = [...older, sql<SqlBool>`occurred_at >= ${until}`];
    found.push(...(await this.#ordered(inWindow, limit - found.length)));
    if (found.length === limit) return found;
    const beyond = [...older, sql<SqlBool>`occurred_at < ${until}`];
    return [...found, ...(await this.#ordered(beyond, limit - found.length))];
  }

  /** Where looking through the newest rows of the scope ends, read off its index; undefined when there are not so many. */
  async #edge(scope: readonly Condition[]): Promise<Edge | undefined> {
    const { rows } = await sql<Edge>`
      select e.occurred_at as time, e.id,
        (select occurred_at from event where ${all(scope)} ${newestFirst} limit 1) as first
      from (select occurred_at, id from event where ${all(scope)} ${newestFirst} offset ${this.#walked - 1} limit 1) e`.execute(
      this.#db,
    );
    return rows[0];
  }
}

/** The last of the newest rows, and the time of the first. */
interface Edge {
  readonly time: Date;
  readonly id: string;
  readonly first: Date;
}

/** Before it Postgres and JavaScript write years differently. */
const EARLIEST_MS = Date.UTC(1, 0, 1);

const before = ({ time, id }: { readonly time: Date; readonly id: string }) =>
  sql<SqlBool>`(occurred_at, id) < (${time}::timestamptz, ${id}::uuid)`;

const typeIn = (types: readonly string[]) =>
  types.length === 1 ? sql<SqlBool>`type = ${types[0]}` : sql<SqlBool>`type = any(${types}::text[])`;

function scopeOf({ from, to, tenantId }: Filters): Condition[] {
  const scope: Condition[] = [];
  if (tenantId !== undefined) scope.push(sql`tenant_id = ${tenantId}::uuid`);
  // Months that were over before then are not even opened.
  if (from !== undefined)
    scope.push(
      sql`occurred_at >= ${from}::timestamptz`,
      sql`recorded_at >= ${from}::timestamptz - ${sql.lit(CLOCKS)}::interval`,
    );
  if (to !== undefined) scope.push(sql`occurred_at < ${to}::timestamptz`);
  return scope;
}

function sharpOf({ userId, actor, subject, traceId, clientIp }: Filters): Condition[] {
  const sharp: Condition[] = [];
  if (userId !== undefined) sharp.push(sql`user_id = ${userId}::uuid`);
  if (actor !== undefined) sharp.push(sql`actor = ${actor}`);
  if (subject !== undefined) sharp.push(sql`subject = ${subject}`);
  if (traceId !== undefined) sharp.push(sql`trace_id = ${traceId}`);
  if (clientIp !== undefined && !clientIp.includes('/')) sharp.push(sql`client_ip = ${clientIp}::inet`);
  return sharp;
}

function bluntOf({ clientIp, outcome, severity, email, words }: Filters): Condition[] {
  const blunt: Condition[] = [];
  if (clientIp?.includes('/')) blunt.push(sql`client_ip <<= ${clientIp}::inet`);
  if (outcome !== undefined) blunt.push(sql`outcome = ${outcome}`);
  if (severity !== undefined) blunt.push(sql`severity = ${severity}`);
  if (email !== undefined)
    // Its words have the index; only the whole of it is the address.
    blunt.push(
      sql`lower(personal->>'email') = ${email}`,
      sql`audit.words(type, subject, data, personal) @> audit.words_of(${email})`,
    );
  if (words === undefined) return blunt;
  // The text first: taking it apart costs ten times as much, and most rows do not even have the letters.
  for (const word of words)
    blunt.push(
      sql`strpos(lower(type || ' ' || coalesce(subject, '') || ' ' || data::text || ' ' || coalesce(personal::text, '')), lower(${word})) > 0`,
    );
  blunt.push(sql`audit.words(type, subject, data, personal) @> audit.words_of(${words.join(' ')})`);
  return blunt;
}

/** The types that are meant, of those the trail has; undefined for any. */
async function typesMeant(
  db: Db,
  asked: readonly string[] | undefined,
): Promise<readonly string[] | undefined> {
  if (asked === undefined || !asked.some((type) => type.endsWith('.*'))) return asked;
  // From one type to the next along the index, over all rows of each.
  const { rows } = await sql<{ type: string }>`
    with recursive known(type) as (
      select min(type) from event
      union all
      select (select min(type) from event where type > known.type) from known where known.type is not null)
    select type from known where type is not null`.execute(db);
  const meant = asked.flatMap((one) =>
    one.endsWith('.*')
      ? rows.map(({ type }) => type).filter((type) => type.startsWith(one.slice(0, -1)))
      : [one],
  );
  return [...new Set(meant)];
}
