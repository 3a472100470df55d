import { createHash } from 'node:crypto';
import { type ClientBase, escapeIdentifier } from 'pg';
import { schemaNames } from './service-name.ts';

interface Column {
  readonly name: string;
  readonly type: string;
  readonly required: boolean;
  /** What a check lets it be, or null when any value of the type will do. */
  readonly choices: readonly string[] | null;
  /** `schema.table.column` that it must point to, or null. */
  readonly target: string | null;
}

interface Table {
  readonly name: string;
  readonly columns: readonly Column[];
  readonly targets: readonly string[];
}

/** A table into which no row could be put; the message names the last refusal of Postgres. */
export class NoSampleRow extends Error {
  override readonly name = 'NoSampleRow';
}

/**
 * Puts rows into every table, made from the catalogue alone so that a table of tomorrow has some too: for each value
 * that a check lists one, nullable columns once with and once without a value, what refers to something referring to a
 * row that is there. Calls with another `round` add other rows. Uses the caller's connection, as the owner.
 *
 * @param only the tables to fill (`schema.table`); all unless given
 * @throws NoSampleRow
 */
export const fillWithSampleRows = async (
  client: ClientBase,
  round: number,
  only?: ReadonlySet<string>,
): Promise<void> => {
  const { rows } = await client.query<Table>(TABLES, [schemaNames]);
  for (const table of inOrder(rows)) {
    if (only?.has(table.name) === false) continue;
    const most = Math.max(2, ...table.columns.map(({ choices }) => choices?.length ?? 0));
    let refusal: unknown;
    let stored = 0;
    for (let at = 0; at < most; at += 1) {
      const outcome = await insertOne(client, table, round * SEEDS_A_ROUND + at);
      if (outcome === undefined) stored += 1;
      else refusal = outcome;
    }
    if (stored > 0) continue;
    const { rowCount } = await client.query(`select from ${table.name} limit 1`);
    if (rowCount === 0) throw new NoSampleRow(`no sample row fits ${table.name}: ${String(refusal)}`);
  }
};

const SEEDS_A_ROUND = 50;
type Nullable = 'some' | 'all' | 'none';

/** Undefined when the row is in; otherwise why not. */
const insertOne = async (client: ClientBase, table: Table, seed: number): Promise<unknown> => {
  let refusal: unknown;
  // Checks over several columns ("both or none") are met by one of these.
  for (const nullable of ['some', 'all', 'none'] as const) {
    refusal = await tryInsert(client, table, seed, nullable);
    if (refusal === undefined) return undefined;
  }
  return refusal;
};

const tryInsert = async (
  client: ClientBase,
  table: Table,
  seed: number,
  nullable: Nullable,
): Promise<unknown> => {
  const names: string[] = [];
  const values: unknown[] = [];
  for (const column of table.columns) {
    const wanted = nullable === 'all' || (nullable === 'some' && seed % 2 === 0);
    if (!column.required && !wanted) continue;
    const value =
      column.target === null ? sampleOf(table.name, column, seed) : await referred(client, column, seed);
    if (value === undefined) continue;
    names.push(escapeIdentifier(column.name));
    values.push(value);
  }
  const places = values.map((_, at) => `$${at + 1}`);
  await client.query('savepoint sample');
  try {
    await client.query(`insert into ${table.name} (${names}) values (${places})`, values);
    return undefined;
  } catch (error) {
    await client.query('rollback to savepoint sample');
    return error;
  }
};

const digestOf = (text: string): Buffer => createHash('sha256').update(text).digest();

const referred = async (client: ClientBase, { name, target }: Column, seed: number): Promise<unknown> => {
  const [schema, table, column] = (target ?? '').split('.');
  const { rows } = await client.query<{ value: unknown }>(
    `select ${column} as value from ${schema}.${table} order by 1`,
  );
  return rows.length === 0
    ? undefined
    : rows[digestOf(`${name}.${seed}`).readUInt32BE() % rows.length]?.value;
};

const DAY_MS = 86_400_000;

const sampleOf = (table: string, { name, type, choices }: Column, seed: number): unknown => {
  if (choices !== null) return choices[seed % choices.length];
  if (type.endsWith('[]')) return [sampleOf(table, { ...elementOf(type), name }, seed)];
  const digest = digestOf(`${table}.${name}.${seed}`);
  switch (type.replace(/\(.*\)/, '')) {
    case 'uuid':
      return digest.toString('hex', 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
    case 'text':
    case 'character varying':
      return `${name} ${seed}`;
    case 'bytea':
      return digest;
    case 'jsonb':
    case 'json':
      return JSON.stringify({ sample: seed, of: name, nested: { list: [null, 'é'] } });
    case 'boolean':
      return seed % 2 === 0;
    case 'inet':
      return `192.0.2.${seed % 256}`;
    case 'smallint':
    case 'integer':
    case 'bigint':
    case 'numeric':
      return seed + 1;
    case 'date':
    case 'timestamp with time zone':
      // Some of this month, some of long ago: partitions differ.
      return new Date(seed % 2 === 0 ? Date.now() - seed : Date.UTC(2020, 0, 1) + seed * DAY_MS);
    default:
      throw new NoSampleRow(`sample rows know no values of type ${type}, which ${table}.${name} has`);
  }
};

const elementOf = (type: string): Column => ({
  name: '',
  type: type.slice(0, -2),
  required: true,
  choices: null,
  target: null,
});

/** Each table after those that it refers to, as far as they do not refer to each other. */
const inOrder = (tables: readonly Table[]): Table[] => {
  const ordered: Table[] = [];
  const waiting = [...tables];
  while (waiting.length > 0) {
    const ready = waiting.findIndex(({ name, targets }) =>
      targets.every((target) => target === name || !waiting.some((other) => other.name === target)),
    );
    ordered.push(...waiting.splice(Math.max(0, ready), 1));
  }
  return ordered;
};

/** `col = any (array['a'::text, …])` in a check of its own is how Postgres says `col in ('a', …)`. */
const TABLES = `
select format('%I.%I', n.nspname, c.relname) as name,
  (select coalesce(array_agg(distinct format('%I.%I', tn.nspname, t.relname)), '{}')
   from pg_constraint k join pg_class t on t.oid = k.confrelid join pg_namespace tn on tn.oid = t.relnamespace
   where k.conrelid = c.oid and k.contype = 'f' and k.conparentid = 0
     and exists (select from pg_attribute a where a.attrelid = c.oid and a.attnum = any (k.conkey) and a.attnotnull)) as targets,
  (select json_agg(json_build_object(
    'name', a.attname,
    'type', format_type(a.atttypid, a.atttypmod),
    'required', a.attnotnull,
    'choices', (
      select json_agg(choice[1]) from pg_constraint k,
        regexp_matches(pg_get_constraintdef(k.oid), '''([^'']*)''::text', 'g') as choice
      where k.conrelid = c.oid and k.contype = 'c' and k.conkey = array[a.attnum]
        and pg_get_constraintdef(k.oid) ~ '^CHECK \\(\\(\\w+ = ANY \\(ARRAY\\['),
    'target', (
      select format('%I.%I.%I', tn.nspname, t.relname, ta.attname)
      from pg_constraint k join pg_class t on t.oid = k.confrelid join pg_namespace tn on tn.oid = t.relnamespace
        join pg_attribute ta on ta.attrelid = t.oid and ta.attnum = k.confkey[1]
      where k.conrelid = c.oid and k.contype = 'f' and k.conkey = array[a.attnum] limit 1)
  ) order by a.attnum)
  from pg_attribute a
  where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attidentity <> 'a' and a.attgenerated = '') as columns
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = any ($1) and c.relkind in ('r', 'p') and not c.relispartition
order by 1`;
