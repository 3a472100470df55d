import type { AuditDatabase } from '@gatehouse/schema';
import { type Kysely, sql } from 'kysely';
import type { ExportFilters } from './export-query.ts';
import type { Snapshot } from './export-snapshot.ts';
import { PLATFORM_CHAIN } from './trail-row.ts';

type Db = Kysely<AuditDatabase>;

/** A stretch of a chain to export: what lies after one record, up to another. */
export interface Stretch {
  readonly chain: string;
  /** Retention's root, or the record before the first that may be asked for. */
  readonly after: number;
  /** Of what retention dropped; with `after` the same, this is the head before the stretch. */
  readonly dropped: { readonly sequence: number; readonly hash: Buffer };
  readonly last: number;
  /** Whether the question was for a time, and not for the whole chain. */
  readonly bounded: boolean;
}

const CHAINS_A_PAGE = 200;
const QUERY_CANCELED = '57014';
/** Clocks may differ by as much; what happened is recorded within it, unless the bus was away for longer. */
const CLOCKS_MS = 86_400_000;

/** The stretches of all chains that are meant, by name, from a chain on. */
export async function* stretchesOf(
  db: Db,
  filters: ExportFilters,
  snapshot: Snapshot,
  from = '',
): AsyncGenerator<Stretch> {
  let at = { name: from, inclusive: true };
  for (;;) {
    const chains = await pageOfChains(db, filters, snapshot, at);
    for (const chain of chains) {
      const stretch = await narrowed(db, filters, snapshot, chain);
      if (stretch.last > stretch.after || !stretch.bounded) yield stretch;
    }
    const last = chains.at(-1);
    if (last === undefined || chains.length < CHAINS_A_PAGE) return;
    at = { name: last.chain, inclusive: false };
  }
}

interface Chain {
  readonly chain: string;
  readonly last: number;
  readonly dropped_sequence: number;
  readonly dropped_hash: Buffer;
}

async function pageOfChains(
  db: Db,
  { tenantId }: ExportFilters,
  { size, tails }: Snapshot,
  at: { name: string; inclusive: boolean },
): Promise<Chain[]> {
  const names = Object.keys(tails);
  const { rows } = await sql<Chain>`
    select c.chain, c.dropped_sequence, c.dropped_hash, coalesce(t.sequence, h.sequence) as last
    from chain c
    left join unnest(${names}::text[], ${names.map((name) => tails[name])}::bigint[]) as t(chain, sequence) on t.chain = c.chain
    left join lateral (
      select sequence from head where head.chain = c.chain and head.index < ${size} order by sequence desc limit 1) h on true
    where coalesce(t.sequence, h.sequence) is not null
      and (c.chain collate "C" > ${at.name} or ${at.inclusive} and c.chain = ${at.name})
      ${tenantId === undefined ? sql`` : sql`and c.chain = ${tenantId}`}
    order by c.chain collate "C" limit ${CHAINS_A_PAGE}`.execute(db);
  return rows;
}

async function narrowed(
  db: Db,
  { start, end }: ExportFilters,
  { size }: Snapshot,
  { chain, last, ...root }: Chain,
): Promise<Stretch> {
  const dropped = { sequence: root.dropped_sequence, hash: root.dropped_hash };
  const whole = {
    chain,
    after: dropped.sequence,
    dropped,
    last,
    bounded: start !== undefined || end !== undefined,
  };
  if (!whole.bounded) return whole;
  const after = start === undefined ? dropped.sequence : await placeBefore(db, chain, start, last);
  const until = end === undefined ? last : await placeOfLast(db, chain, { start, end, last, size });
  return { ...whole, after: Math.max(after, dropped.sequence), last: until };
}

/** The place before the first record that may have happened at or after `start`: nothing is recorded before it happens. */
async function placeBefore(db: Db, chain: string, start: string, last: number): Promise<number> {
  const { rows } = await unlessSlow(
    sql<{ first: number | null }>`
      select min(sequence) as first from event
      where chain = ${chain} and recorded_at >= ${new Date(Date.parse(start) - CLOCKS_MS)}`.execute(db),
    { rows: [{ first: 1 }] },
  );
  return (rows[0]?.first ?? last + 1) - 1;
}

/** The place of the last record that happened before `end`, and on to the next head that a checkpoint vouches for. */
async function placeOfLast(
  db: Db,
  chain: string,
  { start, end, last, size }: { start: string | undefined; end: string; last: number; size: number },
): Promise<number> {
  const recordedBy = new Date(Date.parse(end) + CLOCKS_MS);
  const tenant = chain === PLATFORM_CHAIN ? sql`tenant_id is null` : sql`tenant_id = ${chain}::uuid`;
  const happened = sql`occurred_at >= ${start ?? '-infinity'}::timestamptz and occurred_at < ${end}::timestamptz`;
  const { rows } = await unlessSlow(
    sql<{ soon: number | null; late: number | null; head: number | null }>`
      select soon, late, (select min(h.sequence) from head h
        where h.chain = ${chain} and h.index < ${size} and h.sequence >= greatest(soon, late)) as head
      from (select
        (select max(sequence) from event where chain = ${chain} and recorded_at < ${recordedBy}) as soon,
        (select max(sequence) from event where ${tenant} and ${happened} and recorded_at >= ${recordedBy}) as late) e`.execute(
      db,
    ),
    { rows: [{ soon: last, late: null, head: last }] },
  );
  const { soon = null, late = null, head = null } = rows[0] ?? {};
  if (soon === null && late === null) return 0;
  return Math.min(last, head ?? last);
}

/** A month with millions of rows may take the database longer than it lets a statement: the whole chain is right as well. */
async function unlessSlow<T>(asked: Promise<T>, otherwise: T): Promise<T> {
  try {
    return await asked;
  } catch (error) {
    if ((error as { code?: string }).code !== QUERY_CANCELED) throw error;
    return otherwise;
  }
}
