import type { AuditContext } from './context.ts';
import type { Stretch } from './export-chains.ts';
import type { ExportFilters } from './export-query.ts';

/** A record on its way out; JSON stays the text that the database gives. */
export interface ExportRow {
  readonly chain: string;
  readonly sequence: number;
  readonly id: string;
  readonly type: string;
  readonly severity: string;
  readonly outcome: string | null;
  readonly occurred_at: Date;
  readonly recorded_at: Date;
  readonly source: string;
  readonly tenant_id: string | null;
  readonly user_id: string | null;
  readonly actor: string | null;
  readonly subject: string | null;
  readonly trace_id: string | null;
  readonly data: string;
  readonly personal: string | null;
  readonly personal_salt: Buffer | null;
  readonly personal_digest: Buffer | null;
  readonly hash: Buffer;
}

/** The head before the first part of a chain: where whoever verifies begins. */
export interface Previous {
  readonly sequence: number;
  readonly hash: Buffer;
}

/** A record, or a run of records that were not asked for: of each only what the chain needs. */
export type Part =
  | { readonly row: ExportRow; readonly previous?: Previous }
  | { readonly gap: Gap; readonly previous?: Previous };

/** Records left out, one after another: for each the time of recording (8 bytes, ms since 1970) and the hash of its content. */
export interface Gap {
  readonly chain: string;
  readonly first: number;
  readonly last: number;
  readonly contents: readonly Buffer[];
}

type Pool = AuditContext['pool'];

type ReadRow = ExportRow & { readonly matches: boolean; readonly content_hash: Buffer };

/**
 * Places of a chain that one statement looks at: bounded work, whatever matches. Also what an export holds at once: few
 * enough that their text is no large object, which only a full collection would free.
 */
const PLACES = 100;

const columns = `chain, sequence, id, type, severity, outcome, occurred_at, recorded_at, source, tenant_id, user_id, actor,
  subject, trace_id, hash, content_hash, matches, personal_salt, personal_digest,
  case when matches then data::text end as data, case when matches then personal::text end as personal`;

/**
 * Reads a stretch, batch by batch, each a statement of its own: no transaction stays open while a client takes its time.
 * `resumed`: parts of it have gone out before.
 */
export async function* partsOf(
  pool: Pool,
  filters: ExportFilters,
  stretch: Stretch,
  resumed = false,
): AsyncGenerator<Part[]> {
  const { chain, last } = stretch;
  const proving = filters.proof === 'full';
  const batch = { ...matching(filters), everything: proving };
  const run = new Run(chain, proving, resumed ? undefined : await headBefore(pool, stretch));
  // Nothing is left of it: that much is said, because the log of heads tells of it.
  if (proving && filters.types === undefined && !resumed && last === stretch.after)
    yield [{ gap: { chain, first: last + 1, last, contents: [] }, previous: stretch.dropped }];
  for (let after = stretch.after; after < last; ) {
    const until = Math.min(after + PLACES, last);
    const rows = await read(pool, batch, [chain, after, until]);
    const parts = run.parts(rows);
    if (parts.length > 0) yield parts;
    after = until;
  }
}

/** Puts records and what lies between them in a row. */
class Run {
  readonly #chain: string;
  readonly #proving: boolean;
  /** Before anything of the chain has gone out: the head before. */
  #previous: Previous | undefined;

  constructor(chain: string, proving: boolean, previous: Previous | undefined) {
    this.#chain = chain;
    this.#proving = proving;
    this.#previous = previous;
  }

  parts(rows: readonly ReadRow[]): Part[] {
    if (!this.#proving) return rows.map((row) => ({ row }));
    const parts: Part[] = [];
    let omitted: ReadRow[] = [];
    const close = () => {
      if (omitted.length > 0) parts.push({ gap: this.#gap(omitted) });
      omitted = [];
    };
    for (const row of rows) {
      if (row.matches) {
        close();
        const previous = this.#previous;
        this.#previous = undefined;
        parts.push(previous === undefined ? { row } : { row, previous });
      } else if (this.#previous === undefined) {
        // A hole in the places: what is missing must not be covered by counting on.
        if (omitted.length > 0 && row.sequence !== (omitted.at(-1)?.sequence ?? 0) + 1) close();
        omitted.push(row);
      } else this.#previous = { sequence: row.sequence, hash: row.hash };
    }
    close();
    return parts;
  }

  #gap(rows: readonly ReadRow[]): Gap {
    return {
      chain: this.#chain,
      first: rows[0]?.sequence ?? 0,
      last: rows.at(-1)?.sequence ?? 0,
      contents: rows.map(({ recorded_at: at, content_hash: hash }) => {
        const time = Buffer.alloc(8);
        time.writeBigInt64BE(BigInt(at.getTime()));
        return Buffer.concat([time, hash]);
      }),
    };
  }
}

interface Matching {
  readonly condition: string;
  readonly values: readonly unknown[];
}

function matching({ start, end, types }: ExportFilters): Matching {
  const conditions: string[] = [];
  const values: unknown[] = [];
  // After chain, from and until.
  const value = (one: unknown) => `$${values.push(one) + 3}`;
  if (start !== undefined) conditions.push(`occurred_at >= ${value(start)}::timestamptz`);
  if (end !== undefined) conditions.push(`occurred_at < ${value(end)}::timestamptz`);
  if (types !== undefined) {
    const exact = types.filter((type) => !type.endsWith('.*'));
    const below = types.filter((type) => type.endsWith('.*')).map((type) => type.slice(0, -1));
    conditions.push(
      `(type = any(${value(exact)}::text[]) or exists (select from unnest(${value(below)}::text[]) as b(prefix) where starts_with(type, prefix)))`,
    );
  }
  return { condition: conditions.length === 0 ? 'true' : conditions.join(' and '), values };
}

async function read(
  pool: Pool,
  { condition, values, everything }: Matching & { readonly everything: boolean },
  place: readonly [string, number, number],
): Promise<ReadRow[]> {
  const { rows } = await pool.query<ReadRow>(
    `select ${columns} from (
       select *, (${condition}) as matches from event where chain = $1 and sequence > $2 and sequence <= $3) e
     ${everything ? '' : 'where matches'} order by sequence`,
    [...place, ...values],
  );
  return rows;
}

/** The head before a stretch; of the record before it, or what retention left. */
async function headBefore(pool: Pool, { chain, after, dropped }: Stretch): Promise<Previous> {
  if (after === dropped.sequence) return dropped;
  const { rows } = await pool.query<Previous>(
    'select sequence, hash from event where chain = $1 and sequence <= $2 order by sequence desc limit 1',
    [chain, after],
  );
  return rows[0] ?? dropped;
}
