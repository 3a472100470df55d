import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { splitDatabaseUrl } from './database-url.ts';
import { dropNames, renewNames, wrapQuery } from './named-statements.ts';
import { roleOf, type SchemaName } from './service-name.ts';
import { STATEMENT_TIMEOUT_MS, sessionSettings } from './session-settings.ts';

export interface ConnectOptions {
  /** postgres:// URL: the shared owner's, or the service's own login. */
  readonly url: string;
  /** Whose schema and role. */
  readonly service: SchemaName;
  /** Most connections at once; 10 unless given. */
  readonly poolMax?: number;
  /** Shown in pg_stat_activity; `gatehouse-<service>` unless given (the URL's application_name wins). */
  readonly applicationName?: string;
  /** Postgres ends a statement that takes longer; 10,000 unless given, 0 for no limit. */
  readonly statementTimeoutMs?: number;
  /**
   * The URL's user has the service's rights itself (a login role with another name), so no role is assumed.
   * A user that *is* `gatehouse_<service>` is recognised without this.
   */
  readonly loginRoles?: boolean;
  /**
   * The URL leads to a pooler in transaction mode: nothing is said in the start-up packet, which it would refuse. The
   * login is the service's own and has its settings from `ensureLoginSettings`; `checkSessions` tells when it has not.
   */
  readonly pooled?: boolean;
  /** false: statements go without their names, for a pooler that cannot keep them (PgBouncer before 1.21). */
  readonly namedStatements?: boolean;
  /** Hears of connections that broke while nobody waited on them (Postgres restarted). They are replaced by themselves. */
  readonly onPoolError?: (error: Error) => void;
}

export interface Connection<DB> {
  /** Queries on the service's own tables, by their bare names. */
  readonly db: Kysely<DB>;
  /** The same connections, for named statements on hot paths. */
  readonly pool: pg.Pool;
  /** Waits for queries under way, then closes. May be called more than once. */
  close(): Promise<void>;
}

const CONNECT_TIMEOUT_MS = 5_000;
const KEEP_ALIVE_DELAY_MS = 10_000;
/** How much longer than Postgres' own limit we wait before taking the connection for dead. */
const ANSWER_GRACE_MS = 5_000;

/**
 * Opens a pool for one service. Nothing is connected until the first query. Role, search_path and limits travel in
 * the start-up packet, so they cost no round trip and hold for every statement of the connection. Behind a pooler in
 * transaction mode they are the login's own (`pooled`).
 *
 * Queries fail within 5 s when Postgres cannot be reached, and work again as soon as it is back.
 *
 * @throws InvalidDatabaseUrl
 */
export const connect = <DB>(options: ConnectOptions): Connection<DB> => {
  const { url, options: startUp } = startUpOf(options);
  const statementTimeoutMs = options.statementTimeoutMs ?? STATEMENT_TIMEOUT_MS;
  const pool = new pg.Pool({
    connectionString: url,
    ...(startUp === '' ? {} : { options: startUp }),
    application_name: options.applicationName ?? `gatehouse-${options.service}`,
    max: options.poolMax ?? 10,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    // A peer that vanished without a word never answers: without this a query waits for the kernel's 15 minutes.
    ...(statementTimeoutMs > 0 ? { query_timeout: statementTimeoutMs + ANSWER_GRACE_MS } : {}),
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_DELAY_MS,
    // Moves connections to where a failover or a changed DNS name now points.
    maxLifetimeSeconds: 1_800,
    types: { getTypeParser },
  });
  watch(pool, options.onPoolError ?? (() => {}));
  pool.on('connect', options.namedStatements === false ? dropNames : renewNames());

  const db = new Kysely<DB>({ dialect: new PostgresDialect({ pool }) });
  let closing: Promise<void> | undefined;
  return {
    db,
    pool,
    close: () => {
      // Not db.destroy(): Kysely ends the pool only if it has run a query, and hot paths use the pool alone.
      closing ??= pool.end();
      return closing;
    },
  };
};

/** The URL to connect to, and what its start-up packet says besides. */
const startUpOf = (options: ConnectOptions): { url: string; options: string } => {
  const { url, user, options: urlOptions } = splitDatabaseUrl(options.url);
  if (options.pooled === true) return { url, options: urlOptions };
  const role = roleOf(options.service);
  const own = {
    ...sessionSettings(options.service),
    ...(options.statementTimeoutMs !== undefined && {
      statement_timeout: String(options.statementTimeoutMs),
    }),
  };
  const settings = [
    // Options are applied in order: first what the URL says, then our own limits, last the role.
    urlOptions,
    ...Object.entries(own).map(([name, value]) => `-c ${name}=${value}`),
    options.loginRoles !== true && user !== role ? `-c role=${role}` : '',
  ];
  return { url, options: settings.filter((setting) => setting !== '').join(' ') };
};

/** Without listeners, a connection that Postgres closes would end the process: 'error' on an EventEmitter throws. */
const watch = (pool: pg.Pool, onError: (error: Error) => void): void => {
  pool.on('error', onError);
  pool.on('connect', (client) => {
    // The pool listens only while a client is idle; one that breaks while lent out (between two statements of a
    // transaction) reports here. Its next query fails by itself, so there is nothing more to do.
    client.on('error', onError);
    endWhenUnanswered(client);
  });
};

/**
 * After query_timeout `pg` gives up on the answer but keeps the connection, and Kysely hands it back to the pool as
 * if it were sound: every later query on it would wait in vain, until the kernel gives up. An ended client is not
 * taken back. (pool.query needs none of this: it discards a connection with its first error.)
 */
const endWhenUnanswered = (client: pg.PoolClient): void =>
  wrapQuery(client, (query) => (...parameters) => {
    const answer = query(...parameters);
    if (answer instanceof Promise) {
      answer.catch((error: unknown) => {
        if (error instanceof Error && error.message === 'Query read timeout') {
          (client as pg.PoolClient & pg.Client).end().catch(() => {});
        }
      });
    }
    return answer;
  });

const INT8_OID = 20;

/** int8 as a number: none of our counters and versions gets near 2^53. One that does is an error, never a wrong number. */
const parseInt8 = (text: string): number => {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError('a bigint from the database is beyond 2^53');
  return value;
};

const getTypeParser: pg.CustomTypesConfig['getTypeParser'] = (oid: number, format?: 'text' | 'binary') =>
  oid === INT8_OID && format !== 'binary' ? parseInt8 : pg.types.getTypeParser(oid, format as 'text');
