import { connect, type SchemaName } from '@gatehouse/schema';
import type { Kysely } from 'kysely';
import type { Pool, PoolClient } from 'pg';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { ServiceName } from './service.ts';
import type { BaseConfig } from './settings.ts';

/** A service's own connections. */
export interface Database {
  readonly db: Kysely<unknown>;
  readonly pool: Pool;
  close(): Promise<void>;
}

/** The Postgres schema of each service; its role is named after the schema. */
const schemaOf: Readonly<Record<ServiceName, SchemaName>> = {
  gateway: 'gateway',
  auth: 'auth',
  token: 'token',
  'nats-identity': 'natsid',
  audit: 'audit',
};

/** Whose pool, and the server settings of its connections. */
export interface DatabaseOwner {
  readonly name: ServiceName;
  readonly databaseSettings: Readonly<Record<string, string>>;
}

/** Opens a service's pool under its own role; every query's time goes to `db_query_duration_seconds`. */
export function openDatabase(owner: DatabaseOwner, config: BaseConfig, log: Log, metrics: Metrics): Database {
  const service = owner.name;
  const opened = connect<unknown>({
    url: config.DATABASE_URL,
    service: schemaOf[service],
    poolMax: config.DATABASE_POOL_MAX,
    applicationName: `gatehouse-${service}`,
    settings: owner.databaseSettings,
    loginRoles: !config.DATABASE_SET_ROLE,
    onPoolError: (err: Error) => log.warn({ err }, 'database connection lost'),
  });
  opened.pool.on('connect', (client) => timeQueries(client, service, metrics));
  return opened;
}

type Query = (...args: unknown[]) => unknown;

// Wraps what one connection runs, so that Kysely's queries and the hot paths' own are timed alike.
function timeQueries(client: PoolClient, service: ServiceName, metrics: Metrics): void {
  const original = client.query.bind(client) as Query;
  const timed: Query = (...args) => {
    const begun = performance.now();
    const operation = operationOf(args[0]);
    const done = () => {
      const took = (performance.now() - begun) / 1000;
      metrics.dbQueryDuration.observe({ service, operation }, took);
      if (service === 'nats-identity') metrics.nisDbQueryDuration.observe({ operation }, took);
    };
    const last = args.length - 1;
    const callback = args[last];
    if (typeof callback === 'function') {
      args[last] = (...results: unknown[]) => {
        done();
        return (callback as Query)(...results);
      };
      return original(...args);
    }
    const result = original(...args);
    if (result instanceof Promise) result.then(done, done);
    return result;
  };
  client.query = timed as PoolClient['query'];
}

const verbs = new Set(['select', 'insert', 'update', 'delete', 'with', 'begin', 'commit', 'rollback']);

// A named statement counts under its name; others by their verb: both are a bounded set.
function operationOf(query: unknown): string {
  if (typeof query === 'object' && query !== null) {
    const { name, text } = query as { name?: unknown; text?: unknown };
    if (typeof name === 'string') return name;
    if (typeof text === 'string') return operationOf(text);
  }
  if (typeof query !== 'string') return 'other';
  const verb = /^\s*([a-z]+)/i.exec(query)?.[1]?.toLowerCase();
  return verb !== undefined && verbs.has(verb) ? verb : 'other';
}
