import { performance } from 'node:perf_hooks';
import pg from 'pg';
import { type Check, failed, hostOf, measured, ok, skipped, spoken, warning } from './check.ts';
import { connections, locks } from './database-load.ts';
import type { KnownSettings } from './settings.ts';

/** One connection that can change nothing. */
export type Database = Pick<pg.Client, 'query'>;

const CONNECT_TIMEOUT_MS = 5_000;
const STATEMENT_TIMEOUT_MS = 5_000;
const OLDEST_SERVER = 150_000;

/**
 * Looks at the database, and hands an open connection to what looks into it. Everything is read only: the doctor must
 * not be what makes things worse.
 */
export async function examineDatabase(
  { env }: KnownSettings,
  inside: (database: Database) => Promise<readonly Check[]>,
): Promise<readonly Check[]> {
  const url = env.DATABASE_DIRECT_URL?.trim() || env.DATABASE_URL?.trim();
  if (!url) return [skipped('database', 'DATABASE_URL is not set here', 'run this where the services run')];
  const opened = await open(url);
  if ('check' in opened) return [opened.check];
  const { client } = opened;
  try {
    const checks: Check[] = [await reached(url, client)];
    for (const look of [writable, clock, connections, locks]) checks.push(...(await look(client)));
    checks.push(...(await roles(client, env)));
    const migrated = await migrations(url);
    return [...checks, migrated, ...(migrated.status === 'ok' ? await inside(client) : [])];
  } finally {
    await client.end().catch(() => {});
  }
}

async function open(url: string): Promise<{ client: pg.Client } | { check: Check }> {
  const { explainDatabaseError } = await import('@gatehouse/schema');
  const at = hostOf(url);
  if (!/^postgres(?:ql)?:\/\//.test(url)) {
    const remedy = 'it must look like postgres://user:…@host:5432/gatehouse';
    return { check: failed('database', 'DATABASE_URL is not understood', { remedy }) };
  }
  try {
    const client = new pg.Client({
      connectionString: url,
      application_name: 'gatehouse-doctor',
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      statement_timeout: STATEMENT_TIMEOUT_MS,
      query_timeout: STATEMENT_TIMEOUT_MS + 1_000,
    });
    client.on('error', () => {});
    await client.connect();
    await client.query('set default_transaction_read_only = on');
    return { client };
  } catch (error) {
    const [finding = '', remedy] = (explainDatabaseError(error) ?? unexplained(error)).split(': ');
    return { check: failed('database', `${finding} (${at})`, { remedy }) };
  }
}

const unexplained = (error: unknown): string =>
  `the database cannot be reached, ${(error as { code?: string }).code ?? 'without a reason'}: look at the log of Postgres, and at DATABASE_URL`;

async function reached(url: string, client: Database): Promise<Check> {
  const begun = performance.now();
  const { rows } = await client.query<{ number: number; text: string; name: string }>(
    `select current_setting('server_version_num')::int as number, current_setting('server_version') as text,
       current_database() as name`,
  );
  const { number = 0, text = '', name = '' } = rows[0] ?? {};
  const tookMs = Math.round(performance.now() - begun);
  const finding = `Postgres ${text.split(' ')[0]} at ${hostOf(url)}, database ${name}, ${tookMs} ms`;
  return number < OLDEST_SERVER
    ? failed('database', finding, { remedy: 'Gatehouse needs Postgres 15 or newer: upgrade the server' })
    : ok('database', finding);
}

/** After a failover the address may lead to a standby: everything reads, nothing writes. */
async function writable(client: Database): Promise<Check[]> {
  const { rows } = await client.query<{ standby: boolean; locked: boolean }>(
    `select pg_is_in_recovery() as standby,
       (select coalesce(bool_or(setting = 'on'), false) from pg_db_role_setting s,
          unnest(s.setconfig) c(one), lateral (select split_part(one, '=', 2) as setting) v
        where one like 'default_transaction_read_only=%'
          and s.setdatabase in (0, (select oid from pg_database where datname = current_database()))) as locked`,
  );
  const name = 'database.writable';
  if (rows[0]?.standby)
    return [
      failed(name, 'this is a standby: nothing can be written', {
        remedy: 'promote it (select pg_promote()), or let DATABASE_URL lead to the primary',
      }),
    ];
  if (rows[0]?.locked)
    return [
      failed(name, 'the database was set to read only', {
        remedy: 'if nobody needs it so: alter database … reset default_transaction_read_only',
      }),
    ];
  return [ok(name, 'yes')];
}

const SKEW_WARN_SECONDS = 2;
const SKEW_FAIL_SECONDS = 30;

async function clock(client: Database): Promise<Check[]> {
  const before = Date.now();
  const { rows } = await client.query<{ at: string }>(
    'select (extract(epoch from clock_timestamp()) * 1000)::text as at',
  );
  const after = Date.now();
  return [skew('database.clock', Number(rows[0]?.at), { before, after, of: 'Postgres' })];
}

/** How far another clock is from this machine's, less what the way there may account for. */
export function skew(
  name: string,
  theirs: number,
  { before, after, of, grain = 0 }: { before: number; after: number; of: string; grain?: number },
): Check {
  const ahead = theirs > after ? theirs - after : 0;
  const behind = theirs + grain < before ? before - (theirs + grain) : 0;
  const seconds = Math.max(ahead, behind) / 1000;
  const finding =
    seconds < SKEW_WARN_SECONDS
      ? `agrees with this machine’s`
      : `the clock of ${of} is ${spoken(seconds)} ${ahead > 0 ? 'ahead of' : 'behind'} this machine’s`;
  return measured(
    name,
    seconds,
    { warn: SKEW_WARN_SECONDS, fail: SKEW_FAIL_SECONDS },
    {
      finding,
      remedy: 'let both follow NTP (timedatectl, chronyc tracking): tokens begin and end by these clocks',
    },
  );
}

async function roles(client: Database, env: KnownSettings['env']): Promise<Check[]> {
  const name = 'database.roles';
  if (env.DATABASE_POOLER === 'transaction')
    return [skipped(name, 'each service signs in as itself (DATABASE_POOLER=transaction)')];
  if (env.DATABASE_SET_ROLE === 'false' || env.DATABASE_SET_ROLE === '0')
    return [skipped(name, 'each service signs in as itself (DATABASE_SET_ROLE=false)')];
  const { roleOf, schemaNames } = await import('@gatehouse/schema');
  const wanted = schemaNames.map(roleOf);
  const { rows } = await client.query<{ role: string; held: boolean | null; own: boolean; super: boolean }>(
    `select w.role, w.role = current_user as own,
       (select rolsuper from pg_roles where rolname = current_user) as super,
       case when r.oid is not null then pg_has_role(current_user, r.oid,
         case when current_setting('server_version_num')::int >= 160000 then 'SET' else 'MEMBER' end) end as held
     from unnest($1::text[]) as w(role) left join pg_roles r on r.rolname = w.role`,
    [wanted],
  );
  const remedy = 'run infra/postgres/roles.sql in this database as an administrator';
  const gone = rows.filter(({ held }) => held === null).map(({ role }) => role);
  if (gone.length > 0) return [failed(name, `missing: ${gone.join(', ')}`, { remedy })];
  if (rows.some(({ own }) => own)) return [ok(name, 'this is the login of one service')];
  const lacking = rows.filter(({ held }) => held !== true).map(({ role }) => role);
  if (lacking.length > 0) return [failed(name, `the login may not act as ${lacking.join(', ')}`, { remedy })];
  if (rows[0]?.super && env.NODE_ENV === 'production')
    return [
      warning(name, 'the login of DATABASE_URL is a superuser', {
        remedy: 'give the services a login without rights of its own: infra/postgres/roles.sql',
      }),
    ];
  return [ok(name, 'the login may act as every service')];
}

async function migrations(url: string): Promise<Check> {
  const name = 'database.migrations';
  const { migrationStatus } = await import('@gatehouse/schema');
  const { databaseVersion, newest, breaking, migrations: all } = await migrationStatus(url);
  const named = (state: string) => all.filter((one) => one.state === state).map((one) => one.name);
  const [unknown, pending] = [named('unknown'), named('pending')];
  if (unknown.length > 0 && breaking.length === 0)
    return warning(name, `the database is at ${databaseVersion}, which works with this release (${newest})`, {
      remedy: 'finish the upgrade: run the newer release everywhere (docs/upgrades.md)',
    });
  if (unknown.length > 0)
    return failed(name, `the database is at ${databaseVersion}, this release knows up to ${newest}`, {
      remedy: 'run the newer release, or restore the backup of before the upgrade',
    });
  if (pending.length > 0)
    return failed(name, `at ${databaseVersion ?? 'none'}; pending: ${pending.join(', ')}`, {
      remedy: 'gatehouse migrate up',
    });
  return ok(name, `at ${newest}`);
}
