import type { ClientBase } from 'pg';
import { isStronger, type LockMode, lockModeOf } from './lock-mode.ts';
import { schemaNames } from './service-name.ts';

/** What one statement did to tables that were there before its transaction. */
export interface Observation {
  /** Taken by it, stronger than what the transaction held already. A partition counts as its table. */
  readonly locks: readonly { readonly table: string; readonly mode: LockMode }[];
  /** Tables whose rows were all written anew. */
  readonly rewrites: readonly string[];
  /** Tables that were read from end to end. */
  readonly scans: readonly string[];
  /** Tables whose rows were inserted, updated or deleted. */
  readonly writes: readonly string[];
}

/** Runs statements of one transaction and tells of each what Postgres did for it. */
export interface StatementObserver {
  /** @throws what Postgres answers */
  run(statement: string): Promise<Observation>;
}

interface Relation {
  readonly oid: string;
  readonly table: string;
  readonly kind: string;
}

interface State extends Relation {
  readonly filenode: string | null;
  readonly scans: string;
  readonly writes: string;
}

/**
 * Begins to observe; the caller's transaction has begun and done nothing yet. What is made within it is nobody else's,
 * so its locks count for nothing.
 */
export const observeStatements = async (client: ClientBase): Promise<StatementObserver> => {
  const { rows: relations } = await client.query<Relation>(RELATIONS, [[...schemaNames, 'gatehouse']]);
  const known = new Map(relations.map((relation) => [relation.oid, relation]));
  const read = async (): Promise<Map<string, State>> => {
    const { rows } = await client.query<State>(STATES, [[...known.keys()]]);
    return new Map(rows.map((row) => [row.oid, row]));
  };
  const held = new Map<string, LockMode>();
  let before = await read();
  return {
    async run(statement) {
      await client.query(statement);
      const after = await read();
      const observation = { locks: await newLocks(client, known, held), ...changes(known, before, after) };
      before = after;
      return observation;
    },
  };
};

const changes = (
  known: ReadonlyMap<string, Relation>,
  before: ReadonlyMap<string, State>,
  after: ReadonlyMap<string, State>,
): Pick<Observation, 'rewrites' | 'scans' | 'writes'> => {
  const where = (differs: (was: State, is: State) => boolean): string[] => {
    const tables = [...before.values()].flatMap((was) => {
      const is = after.get(was.oid);
      return is !== undefined && differs(was, is) ? [known.get(was.oid)?.table ?? ''] : [];
    });
    return [...new Set(tables)].sort();
  };
  return {
    rewrites: where((was, is) => was.filenode !== is.filenode),
    scans: where((was, is) => was.scans !== is.scans),
    writes: where((was, is) => was.writes !== is.writes),
  };
};

/** Locks on indexes go with one on their table. */
const newLocks = async (
  client: ClientBase,
  known: ReadonlyMap<string, Relation>,
  held: Map<string, LockMode>,
): Promise<Observation['locks']> => {
  const { rows } = await client.query<{ oid: string; mode: string }>(LOCKS);
  const taken = new Map<string, LockMode>();
  for (const row of rows) {
    const mode = lockModeOf(row.mode);
    const relation = known.get(row.oid);
    if (relation === undefined || mode === undefined) continue;
    if (isStronger(mode, held.get(relation.table)) && isStronger(mode, taken.get(relation.table)))
      taken.set(relation.table, mode);
  }
  for (const [table, mode] of taken) held.set(table, mode);
  return [...taken].map(([table, mode]) => ({ table, mode })).sort((a, b) => a.table.localeCompare(b.table));
};

const RELATIONS = `
select c.oid::text, c.relkind as kind,
  (select format('%I.%I', n.nspname, t.relname) from pg_class t join pg_namespace n on n.oid = t.relnamespace
   where t.oid = coalesce(pg_partition_root(c.oid), c.oid)) as table
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = any ($1) and c.relkind in ('r', 'p', 'm', 'v')`;

const STATES = `
select c.oid::text, pg_relation_filenode(c.oid)::text as filenode, pg_stat_get_xact_numscans(c.oid)::text as scans,
  (pg_stat_get_xact_tuples_inserted(c.oid) + pg_stat_get_xact_tuples_updated(c.oid)
    + pg_stat_get_xact_tuples_deleted(c.oid))::text as writes
from pg_class c where c.oid = any ($1::oid[])`;

const LOCKS = `
select relation::text as oid, mode from pg_locks
where pid = pg_backend_pid() and locktype = 'relation' and granted`;
