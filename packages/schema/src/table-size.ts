import type { ClientBase } from 'pg';
import { schemaNames } from './service-name.ts';

/** How much there is of a table, its partitions, indexes and TOAST included. */
export interface TableSize {
  /** As the statistics have it; null when nobody has counted yet. */
  readonly rows: number | null;
  readonly bytes: number;
}

/** Sizes of all tables, from the statistics: nothing is counted, nothing is locked but the catalogue. */
export const readTableSizes = async (client: ClientBase): Promise<ReadonlyMap<string, TableSize>> => {
  const { rows } = await client.query<{ name: string; rows: string | null; bytes: string }>(SIZES, [
    schemaNames,
  ]);
  return new Map(
    rows.map((row) => [
      row.name,
      { rows: row.rows === null ? null : Number(row.rows), bytes: Number(row.bytes) },
    ]),
  );
};

/** Which tables have rows at all, found without counting. */
export const readFilledTables = async (
  client: ClientBase,
  tables: Iterable<string>,
): Promise<ReadonlySet<string>> => {
  const filled = new Set<string>();
  for (const table of tables)
    if ((await client.query(`select from ${table} limit 1`)).rowCount !== 0) filled.add(table);
  return filled;
};

// A table that was never analysed has -1, and then the counters of its statistics are the better guess.
const SIZES = `
select name, rows::bigint::text, bytes::bigint::text from (
  select format('%I.%I', n.nspname, c.relname) as name,
    sum(case when l.relkind = 'p' then null when l.reltuples >= 0 then l.reltuples when s.n_live_tup > 0 then s.n_live_tup end) as rows,
    sum(pg_total_relation_size(l.oid)) as bytes
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
    join pg_class l on l.oid = c.oid or pg_partition_root(l.oid) = c.oid
    left join pg_stat_all_tables s on s.relid = l.oid
  where n.nspname = any ($1) and c.relkind in ('r', 'p') and not c.relispartition and l.relkind in ('r', 'p')
  group by 1
) as sized`;
