import { schemaNames } from '@gatehouse/schema';
import type { ClientBase } from 'pg';
import type { SavedSequence } from './manifest.ts';

/** What a backup holds of a database, as its catalogue has it at the moment of the snapshot. */
export interface Layout {
  /** In an order in which each can be loaded: what is referred to comes first. */
  readonly tables: readonly TableLayout[];
  readonly sequences: readonly SavedSequence[];
  /** First days of the months of the audit trail that have a partition. */
  readonly months: readonly string[];
}

/** One table; a partitioned one stands for its partitions. */
export interface TableLayout {
  /** With its schema. None of our names needs quoting. */
  readonly name: string;
  readonly columns: readonly string[];
}

/** The history of migrations, which Kysely keeps. */
const HISTORY = 'gatehouse.kysely_migration';
/** Gatehouse's schemas: each service's, and that of the migrations. */
export const backedUpSchemas: readonly string[] = [...schemaNames, 'gatehouse'];

/** Reads the catalogue over a connection that may see everything (the owner's). */
export async function readLayout(client: ClientBase): Promise<Layout> {
  const { rows: tables } = await client.query<{ name: string; columns: string[] }>(TABLES, [backedUpSchemas]);
  const { rows: references } = await client.query<Reference>(REFERENCES, [backedUpSchemas]);
  const { rows: months } = await client.query<{ month: string }>(MONTHS);
  return {
    tables: inOrder(
      tables.filter(({ name }) => !name.startsWith('gatehouse.') || name === HISTORY),
      references,
    ),
    sequences: await readSequences(client),
    months: months.map(({ month }) => month),
  };
}

/** Where the sequences stand. They are outside of every snapshot: never behind the rows when read after it. */
async function readSequences(client: ClientBase): Promise<SavedSequence[]> {
  const { rows: names } = await client.query<{ name: string }>(SEQUENCES, [backedUpSchemas]);
  const sequences: SavedSequence[] = [];
  for (const { name } of names) {
    const { rows } = await client.query<Omit<SavedSequence, 'name'>>(
      `select last_value::text, is_called from ${name}`,
    );
    for (const row of rows) sequences.push({ name, ...row });
  }
  return sequences;
}

interface Reference {
  readonly from: string;
  readonly to: string;
}

/** Each table after those that it refers to. */
function inOrder(tables: readonly TableLayout[], references: readonly Reference[]): TableLayout[] {
  const ordered: TableLayout[] = [];
  const waiting = new Map(tables.map((table) => [table.name, table]));
  while (waiting.size > 0) {
    const ready = [...waiting.values()].filter(
      ({ name }) => !references.some(({ from, to }) => from === name && to !== name && waiting.has(to)),
    );
    if (ready.length === 0)
      throw new Error(`these tables refer to each other in a circle: ${[...waiting.keys()].join(', ')}`);
    for (const table of ready) waiting.delete(table.name);
    ordered.push(...ready);
  }
  return ordered;
}

const TABLES = `
  select n.nspname || '.' || c.relname as name, array_agg(a.attname::text order by a.attnum) as columns
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
    join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
  where n.nspname = any ($1) and c.relkind in ('r', 'p') and not c.relispartition
  group by n.nspname, c.relname
  order by array_position($1, n.nspname::text), c.relname collate "C"`;

/** Without those that are checked at the commit: they may point in a circle. */
const REFERENCES = `
  select n.nspname || '.' || c.relname as from, m.nspname || '.' || t.relname as to
  from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
    join pg_class t on t.oid = k.confrelid join pg_namespace m on m.oid = t.relnamespace
  where k.contype = 'f' and not k.condeferred and n.nspname = any ($1)`;

const SEQUENCES = `
  select n.nspname || '.' || c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname = any ($1) and c.relkind = 'S' order by 1`;

const MONTHS = `
  select to_char(to_date(right(c.relname, 6), 'YYYYMM'), 'YYYY-MM-DD') as month
  from pg_inherits i join pg_class c on c.oid = i.inhrelid
  where i.inhparent = 'audit.event'::regclass and c.relname ~ '^event_[0-9]{6}$' order by 1`;
