import pg, { type Pool, type PoolClient } from 'pg';
import { roleOf, type SchemaName } from './service-name.ts';
import { sessionSettings } from './session-settings.ts';

/** What the sessions of a service are not as it needs them, one line with the remedy. `fatal`: it cannot work so. */
export interface SessionFault {
  readonly fatal: boolean;
  readonly text: string;
}

/** How the service was told to connect. */
export interface SessionExpectation {
  readonly service: SchemaName;
  readonly pooled: boolean;
  readonly namedStatements: boolean;
  /** The login has the service's rights under another name. */
  readonly otherLogin?: boolean;
}

const RECONNECT =
  'then let the pooler open new connections to Postgres (PgBouncer: RECONNECT in its console)';

/**
 * Looks whether what the service relies on holds for the statements of its pool: search_path and limits, one session a
 * connection unless a pooler was announced, and named statements.
 * @throws when the database cannot be reached
 */
export const checkSessions = async (pool: Pool, expected: SessionExpectation): Promise<SessionFault[]> => {
  const settings = await checkSettings(pool, expected);
  if (settings.some(({ fatal }) => fatal)) return settings;
  if (expected.pooled && expected.namedStatements) return [...settings, ...(await checkNames(pool))];
  if (!expected.pooled && (await sharesConnections(pool))) return [...settings, unannounced];
  return settings;
};

const unannounced: SessionFault = {
  fatal: true,
  text: 'the database URL leads to a pooler that lends connections by the transaction: set DATABASE_POOLER=transaction, or connect directly',
};

const checkSettings = async (
  pool: Pool,
  { service, pooled, otherLogin }: SessionExpectation,
): Promise<SessionFault[]> => {
  const wanted = sessionSettings(service);
  const role = roleOf(service);
  const { rows } = await pool.query<{ login: string; name: string; same: boolean }>(
    `select current_user as login, name, lower(current_setting(name)) = lower(value) as same
     from unnest($1::text[], $2::text[]) as wanted(name, value)`,
    [Object.keys(wanted), Object.values(wanted)],
  );
  const wrong = rows.filter(({ same }) => !same).map(({ name }) => name);
  const login = rows[0]?.login ?? '';
  if (login !== role && !otherLogin) wrong.unshift('role');
  if (wrong.length === 0) return [];
  const fatal = wrong.includes('search_path') || wrong.includes('role');
  const what = `sessions of ${service} (as ${login}) have another ${wrong.join(', ')} than they need`;
  if (!pooled) {
    const text = `${what}: something between here and Postgres drops the start-up options. If it is a pooler, set DATABASE_POOLER=transaction`;
    return [{ fatal, text }];
  }
  const remedy =
    login === role || otherLogin
      ? `run "gatehouse migrate up" with the owner's login or infra/postgres/roles.sql as an administrator, ${RECONNECT}`
      : `behind a pooler the login must be ${role}, see infra/postgres/roles.sql`;
  return [{ fatal, text: `${what}: ${remedy}` }];
};

const ROUNDS = 3;

/** Whether two clients were given one backend of Postgres: only a pooler does that. */
export const sharesConnections = (pool: Pool): Promise<boolean> =>
  onTwo(pool, async (one, other) => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const before = await backendOf(one);
      await other.query('begin');
      // What a pooler gives first is what was given back last.
      const within = await backendOf(other);
      const after = await backendOf(one);
      await other.query('rollback');
      if (within === before || after !== before) return true;
    }
    return false;
  });

const backendOf = async (client: PoolClient): Promise<number> =>
  (await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid ?? 0;

/** 26000: it is on another connection than the one lent; 42P05: somebody else's of that name is on it. */
const NAMES_LOST = new Set(['26000', '42P05', '08P01']);

/** Two clients have statements of one name: a pooler that does not know of names mixes them up on a shared connection. */
const checkNames = async (pool: Pool): Promise<SessionFault[]> => {
  try {
    const mixed = await onTwo(pool, async (one, other) => {
      const first = await one.query<{ n: number }>({ name: 'pooler_check', text: 'select 1 as n' });
      const second = await other.query<{ n: number }>({ name: 'pooler_check', text: 'select 2 as n' });
      const again = await one.query<{ n: number }>({ name: 'pooler_check', text: 'select 1 as n' });
      return first.rows[0]?.n !== 1 || second.rows[0]?.n !== 2 || again.rows[0]?.n !== 1;
    });
    if (!mixed) return [];
  } catch (error) {
    if (!(error instanceof pg.DatabaseError && NAMES_LOST.has(error.code ?? ''))) throw error;
  }
  const text =
    'the pooler does not keep named statements: set max_prepared_statements in PgBouncer 1.21 or newer, or DATABASE_PREPARED_STATEMENTS=false here';
  return [{ fatal: true, text }];
};

/** Works on two connections at once; after a fault nobody else gets them. */
const onTwo = async <T>(pool: Pool, work: (one: PoolClient, other: PoolClient) => Promise<T>): Promise<T> => {
  const lent: PoolClient[] = [];
  let broken = true;
  try {
    const one = await pool.connect();
    lent.push(one);
    const other = await pool.connect();
    lent.push(other);
    const result = await work(one, other);
    broken = false;
    return result;
  } finally {
    for (const client of lent) client.release(broken);
  }
};
