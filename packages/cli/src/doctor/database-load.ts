import { type Check, counted, measured, ok, spoken } from './check.ts';
import type { Database } from './database.ts';

/** Connections of one application name. */
export interface Taken {
  readonly name: string;
  readonly used: number;
  /** Not idle: at work, waiting, or in a transaction. */
  readonly busy: number;
  /** What the server lends out in all. */
  readonly most: number;
}

/** How many connections are taken, and by whom. */
export async function connections(client: Database): Promise<Check[]> {
  const { rows } = await client.query<Taken>(
    `select coalesce(nullif(application_name, ''), 'unnamed') as name, count(*)::int as used,
       (count(*) filter (where state <> 'idle'))::int as busy,
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int as most
     from pg_stat_activity where backend_type = 'client backend' group by 1 order by 3 desc, 2 desc, 1`,
  );
  return [judgeConnections(rows)];
}

/** A pool of which all are busy lets its service wait, however few connections the server has lent out. */
export function judgeConnections(rows: readonly Taken[]): Check {
  const used = rows.reduce((sum, row) => sum + row.used, 0);
  const most = rows[0]?.most ?? 1;
  const whose = rows.map(({ name, used: all, busy }) => `${name} ${all}${busy > 0 ? ` (${busy} busy)` : ''}`);
  return measured(
    'database.connections',
    used / most,
    { warn: 0.8, fail: 0.95 },
    {
      finding: `${used} of ${most} in use: ${whose.slice(0, NAMES_SHOWN).join(', ')}`,
      remedy: 'raise max_connections, or lower DATABASE_POOL_MAX or the number of processes',
    },
  );
}

const NAMES_SHOWN = 8;
const HELD_WARN_SECONDS = 5;
const HELD_FAIL_SECONDS = 60;

interface Holder {
  readonly pid: number;
  readonly name: string;
  readonly state: string;
  readonly held: number;
  readonly waiting: number;
}

/**
 * Somebody's lock is the commonest reason for "everything hangs". How long it is held counts, not how long somebody has
 * waited: statements of the services give up after ten seconds, and others take their place.
 */
export async function locks(client: Database): Promise<Check[]> {
  const name = 'database.locks';
  const { rows } = await client.query<Holder>(
    `select h.pid, coalesce(nullif(h.application_name, ''), 'unnamed') as name, coalesce(h.state, 'unknown') as state,
       coalesce(extract(epoch from clock_timestamp() - h.xact_start), 0)::float as held, count(*)::int as waiting
     from pg_stat_activity w, unnest(pg_blocking_pids(w.pid)) b(pid), pg_stat_activity h
     where w.wait_event_type = 'Lock' and w.datname = current_database() and h.pid = b.pid
       and cardinality(pg_blocking_pids(h.pid)) = 0
     group by h.pid, h.application_name, h.state, h.xact_start order by held desc`,
  );
  const [longest] = rows;
  if (longest === undefined) return [ok(name, 'nobody waits for a lock')];
  const finding =
    `${counted(longest.waiting, 'session')} ${longest.waiting === 1 ? 'waits' : 'wait'} for process ${longest.pid} (${longest.name}, ${longest.state}), ` +
    `which has held its locks for ${spoken(longest.held)}`;
  return [
    measured(
      name,
      longest.held,
      { warn: HELD_WARN_SECONDS, fail: HELD_FAIL_SECONDS },
      {
        finding,
        remedy: `gatehouse database end-session ${longest.pid} ends it and undoes its transaction; see what it does before: gatehouse database sessions`,
        details: rows.slice(1).map((one) => `process ${one.pid} (${one.name}) holds up ${one.waiting}`),
      },
    ),
  ];
}
