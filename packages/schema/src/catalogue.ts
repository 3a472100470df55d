import type { ClientBase } from 'pg';
import { schemaNames } from './service-name.ts';

/** What code relies on of a database, as its catalogue has it. Names are with their schema. */
export interface Catalogue {
  readonly tables: ReadonlySet<string>;
  /** By `schema.table.column`: its type, and whether an insert that does not name it fails. */
  readonly columns: ReadonlyMap<string, { readonly type: string; readonly required: boolean }>;
  /** By name and arguments: what it returns. */
  readonly functions: ReadonlyMap<string, string>;
  /** What the roles of the services may do: `gatehouse_auth: insert on auth.tenant`. */
  readonly rights: ReadonlySet<string>;
  /** By table: what is unique of it, as `(tenant_id, email)`; what `on conflict` needs. */
  readonly uniques: ReadonlyMap<string, ReadonlySet<string>>;
  /** By table: the checks and foreign keys that each write must meet. */
  readonly constraints: ReadonlyMap<string, ReadonlySet<string>>;
}

/**
 * Reads it over the caller's connection, so that a transaction sees what it has changed; in the same order whenever the
 * same is there, whichever way Postgres comes upon it.
 */
export const readCatalogue = async (client: ClientBase): Promise<Catalogue> => {
  const rows = async <Row extends object>(text: string): Promise<Row[]> =>
    (await client.query<Row>(text, [schemaNames])).rows.toSorted(inOrder);
  const columns = await rows<{ name: string; type: string; required: boolean }>(COLUMNS);
  const functions = await rows<{ name: string; result: string }>(FUNCTIONS);
  return {
    tables: new Set((await rows<{ name: string }>(TABLES)).map(({ name }) => name)),
    columns: new Map(columns.map(({ name, ...column }) => [name, column])),
    functions: new Map(functions.map(({ name, result }) => [name, result])),
    rights: new Set((await rows<{ text: string }>(RIGHTS)).map(({ text }) => text)),
    uniques: byTable(await rows(UNIQUES)),
    constraints: byTable(await rows(CONSTRAINTS)),
  };
};

const inOrder = (one: object, other: object): number =>
  JSON.stringify(one) < JSON.stringify(other) ? -1 : 1;

const byTable = (rows: readonly { table: string; text: string }[]): Map<string, Set<string>> => {
  const found = new Map<string, Set<string>>();
  for (const { table, text } of rows) found.set(table, (found.get(table) ?? new Set()).add(text));
  return found;
};

const OF_OURS = `n.nspname = any ($1) and c.relkind in ('r', 'p', 'v', 'm') and not c.relispartition`;

const TABLES = `
select format('%I.%I', n.nspname, c.relname) as name
from pg_class c join pg_namespace n on n.oid = c.relnamespace where ${OF_OURS}`;

const COLUMNS = `
select format('%I.%I.%I', n.nspname, c.relname, a.attname) as name, format_type(a.atttypid, a.atttypmod) as type,
  a.attnotnull and not a.atthasdef and a.attidentity = '' as required
from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid
where ${OF_OURS} and a.attnum > 0 and not a.attisdropped`;

const FUNCTIONS = `
select format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) as name,
  coalesce(pg_get_function_result(p.oid), '') as result
from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = any ($1)`;

const RIGHTS = `
select distinct lower(format('%s: %s on %s', pg_get_userbyid(grantee), privilege, object)) as text from (
  select g.grantee, g.privilege_type as privilege, format('%I.%I', n.nspname, c.relname) as object
  from pg_class c join pg_namespace n on n.oid = c.relnamespace, aclexplode(c.relacl) as g where ${OF_OURS}
  union all
  select g.grantee, g.privilege_type, format('%I.%I.%I', n.nspname, c.relname, a.attname)
  from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid,
    aclexplode(a.attacl) as g where ${OF_OURS} and not a.attisdropped
  union all
  select g.grantee, g.privilege_type, p.oid::regprocedure::text
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace, aclexplode(p.proacl) as g where n.nspname = any ($1)
  union all
  select g.grantee, g.privilege_type, n.nspname from pg_namespace n, aclexplode(n.nspacl) as g where n.nspname = any ($1)
) as granted where pg_get_userbyid(grantee) like 'gatehouse\\_%'`;

const UNIQUES = `
select format('%I.%I', n.nspname, c.relname) as table,
  regexp_replace(pg_get_indexdef(i.indexrelid), '^.* USING \\w+ ', '') as text
from pg_index i join pg_class c on c.oid = i.indrelid join pg_namespace n on n.oid = c.relnamespace
where ${OF_OURS} and i.indisunique`;

/** That a constraint is not validated yet makes no difference to who writes. */
const CONSTRAINTS = `
select format('%I.%I', n.nspname, c.relname) as table, replace(pg_get_constraintdef(k.oid), ' NOT VALID', '') as text
from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_namespace n on n.oid = c.relnamespace
where ${OF_OURS} and k.contype in ('c', 'f', 'x')`;
