import { type Head, LogPruner, logPartText } from '@gatehouse/audit-chain';
import type { AuditDatabase } from '@gatehouse/schema';
import { type Kysely, sql } from 'kysely';
import type { ExportFilters } from './export-query.ts';
import type { Snapshot } from './export-snapshot.ts';

type Db = Kysely<AuditDatabase>;

const HEADS_A_PAGE = 2_000;
const CLOCKS_MS = 86_400_000;

/** The newest checkpoint that the snapshot counts, as signed. */
export async function checkpointOf(db: Db, { size }: Snapshot): Promise<string | null> {
  const row = await db.selectFrom('checkpoint').select('note').where('size', '=', size).executeTakeFirst();
  return row?.note ?? null;
}

/**
 * The log of heads that the checkpoint signs, with the entries that the export is about; of the others, which name other
 * tenants or other times, only what the root needs. Texts, some at a time.
 */
export async function* logOf(db: Db, filters: ExportFilters, { size }: Snapshot): AsyncGenerator<string[]> {
  const pruner = new LogPruner();
  const { first, after } = await timeOf(db, filters, size);
  for (let from = 0; from < size; ) {
    const { rows } = await sql<Head & { index: number }>`
      select index, chain, sequence, hash from head where index >= ${from} and index < ${size}
      order by index limit ${HEADS_A_PAGE}`.execute(db);
    const parts = rows.flatMap(({ index, ...head }) => {
      const wanted =
        index >= first &&
        index < after &&
        (filters.tenantId === undefined || head.chain === filters.tenantId);
      // A checkpoint of just so many entries: no part lies across.
      const before = index === Number(filters.logSize) ? pruner.end() : [];
      return [...before, ...pruner.next(head, wanted)];
    });
    if (parts.length > 0) yield parts.map(logPartText);
    const last = rows.at(-1);
    if (last === undefined) break;
    from = last.index + 1;
  }
  const rest = pruner.end();
  if (rest.length > 0) yield rest.map(logPartText);
}

/** The entries that were noted while the export's records were recorded, and the next ones. */
async function timeOf(
  db: Db,
  { start, end }: ExportFilters,
  size: number,
): Promise<{ first: number; after: number }> {
  const time = (text: string, ms: number) => new Date(Date.parse(text) + ms);
  const begun =
    start === undefined
      ? undefined
      : await db
          .selectFrom('checkpoint')
          .select(({ fn }) => fn.max('size').as('size'))
          .where('signed_at', '<', time(start, -CLOCKS_MS))
          .executeTakeFirst();
  const ended =
    end === undefined
      ? undefined
      : await db
          .selectFrom('checkpoint')
          .select(({ fn }) => fn.min('size').as('size'))
          .where('signed_at', '>=', time(end, CLOCKS_MS))
          .executeTakeFirst();
  return { first: begun?.size ?? 0, after: Math.min(size, ended?.size ?? size) };
}
