import type { Command } from 'commander';
import type pg from 'pg';
import { confirm } from '../confirm.ts';
import { databaseUrl } from '../database-url.ts';
import { spoken } from '../doctor/check.ts';
import { Fault } from '../fault.ts';
import { type OutputOptions, show, showRows } from '../output.ts';

/** `gatehouse database …`: who is connected, and who keeps the others waiting; speaks to the database directly. */
export function addDatabase(program: Command): void {
  const database = program
    .command('database')
    .description('who is connected to the database, and who keeps others waiting (needs DATABASE_URL)');
  database
    .command('sessions')
    .description('connections, those first that hold others up; statements without the values in them')
    .option('--all', 'idle ones too')
    .addHelpText('after', '\nExample:\n  gatehouse database sessions\n')
    .action(async (options: { all?: boolean }, command: Command) => {
      const rows = await withDatabase(sessions);
      const shown = rows.filter(({ state }) => options.all || state !== 'idle');
      showRows(command.optsWithGlobals<OutputOptions>(), shown, columns);
    });
  database
    .command('end-session')
    .argument('<pid>', 'its process, as "database sessions" shows it')
    .description('end one connection: its transaction is undone, and what waited for it goes on')
    .option('--yes', 'do not ask')
    .addHelpText('after', '\nExample:\n  gatehouse database end-session 12509 --yes\n')
    .action(async (pid: string, { yes }: { yes?: boolean }, command: Command) => {
      if (!/^[1-9]\d{0,9}$/.test(pid)) throw new Fault('<pid> must be a whole number', 2);
      const options = command.optsWithGlobals<OutputOptions>();
      await withDatabase((client) => endSession(client, { pid: Number(pid), yes, options }));
    });
}

const columns = ['pid', 'application', 'state', 'since', 'waits_for', 'blocked_by', 'holds_up', 'statement'];

type Session = {
  readonly pid: number;
  readonly application: string;
  readonly state: string;
  /** How long its transaction, or else its state, has lasted. */
  readonly since: string;
  readonly waits_for: string | null;
  /** Processes that it waits for. */
  readonly blocked_by: string;
  /** How many wait for it. */
  readonly holds_up: number;
  readonly statement: string;
};

async function sessions(client: pg.Client): Promise<Session[]> {
  const { rows } = await client.query<Session & { readonly seconds: number }>(
    `with a as (
       select pid, coalesce(nullif(application_name, ''), 'unnamed') as application, coalesce(state, 'unknown') as state,
         extract(epoch from clock_timestamp() - coalesce(xact_start, state_change))::float as seconds,
         nullif(concat_ws(' ', wait_event_type, wait_event), '') as waits_for, wait_event_type,
         pg_blocking_pids(pid) as blockers, left(coalesce(query, ''), 500) as statement
       from pg_stat_activity
       where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid())
     select pid, application, state, coalesce(seconds, 0) as seconds,
       case when wait_event_type in ('Lock', 'LWLock', 'IO') then waits_for end as waits_for,
       array_to_string(blockers, ', ') as blocked_by,
       (select count(*) from a w where a.pid = any (w.blockers))::int as holds_up, statement
     from a order by holds_up desc, state = 'idle', seconds desc, pid`,
  );
  return rows.map(({ seconds, statement, ...row }) => ({
    ...row,
    since: spoken(seconds),
    statement: withoutValues(statement),
  }));
}

const STATEMENT_CHARS = 70;

/** Somebody may have typed a password or an address into a statement. */
export function withoutValues(statement: string): string {
  const told = statement
    .replace(/(\$[a-z_]*\$)[\s\S]*?(?:\1|$)/gi, '?')
    .replace(/e?'(?:[^'\\]|''|\\[\s\S])*(?:'|$)/gi, '?')
    .replace(/\b\d+(?:\.\d+)?\b/g, '?')
    .replace(/\s+/g, ' ')
    .trim();
  return told.length > STATEMENT_CHARS ? `${told.slice(0, STATEMENT_CHARS - 1)}…` : told;
}

interface Ending {
  readonly pid: number;
  readonly yes: boolean | undefined;
  readonly options: OutputOptions;
}

async function endSession(client: pg.Client, { pid, yes, options }: Ending): Promise<void> {
  const found = (await sessions(client)).find((one) => one.pid === pid);
  if (found === undefined)
    throw new Fault(`no session of this database has the process ${pid}: it has ended by itself`);
  const { application, state, since } = found;
  await confirm(`End ${application} (${state} for ${since})? Its transaction is undone.`, yes);
  const { rows } = await client.query<{ ended: boolean }>('select pg_terminate_backend($1) as ended', [pid]);
  show(
    options,
    { pid, application, ended: rows[0]?.ended === true },
    `ended process ${pid} (${application}), ${found.holds_up} waited for it`,
  );
}

const CONNECT_TIMEOUT_MS = 5_000;
const STATEMENT_TIMEOUT_MS = 5_000;

async function withDatabase<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
  const url = databaseUrl();
  const [{ default: driver }, { explainDatabaseError }] = await Promise.all([
    import('pg'),
    import('@gatehouse/schema'),
  ]);
  const client = new driver.Client({
    connectionString: url,
    application_name: 'gatehouse-command',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
  });
  client.on('error', () => {});
  try {
    await client.connect();
    return await work(client);
  } catch (error) {
    const explained = error instanceof Fault ? undefined : explainDatabaseError(error);
    throw explained === undefined ? error : new Fault(explained);
  } finally {
    await client.end().catch(() => {});
  }
}
