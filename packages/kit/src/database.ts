import { connect, type SchemaName } from '@gatehouse/schema';
import type { Kysely } from 'kysely';
import type { Pool, PoolClient } from 'pg';
import { noteCertificate, noteSocket } from './certificates.ts';
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
export const schemaOf: Readonly<Record<ServiceName, SchemaName>> = {
  gateway: 'gateway',
  auth: 'auth',
  token: 'token',
  'nats-identity': 'natsid',
  audit: 'audit',
};

const urlSettings = {
  gateway: 'GATEWAY_DATABASE_URL',
  auth: 'AUTH_DATABASE_URL',
  token: 'TOKEN_DATABASE_URL',
  'nats-identity': 'NATS_IDENTITY_DATABASE_URL',
  audit: 'AUDIT_DATABASE_URL',
} as const satisfies Record<ServiceName, keyof BaseConfig>;

/** Opens a service's pool under its own role; every query's time goes to `db_query_duration_seconds`. */
export function openDatabase(service: ServiceName, config: BaseConfig, log: Log, metrics: Metrics): Database {
  const opened = connect<unknown>({
    url: config[urlSettings[service]] ?? config.DATABASE_URL,
    service: schemaOf[service],
    poolMax: config.DATABASE_POOL_MAX,
    applicationName: `gatehouse-${service}`,
    loginRoles: !config.DATABASE_SET_ROLE,
    pooled: config.DATABASE_POOLER === 'transaction',
    namedStatements: config.DATABASE_PREPARED_STATEMENTS,
    onPoolError: (err: Error) => log.warn({ err }, 'database connection lost'),
  });
  const note = noteCertificate(metrics, { service, dep: 'db' });
  opened.pool.on('connect', (client) => {
    timeQueries(client, service, metrics);
    const { host, connection } = client as unknown as ConnectedClient;
    noteSocket(note, host, connection.stream);
  });
  return opened;
}

/** Where migrations run: the owner's login on connections that are sessions. */
export const directUrl = (config: BaseConfig): string => config.DATABASE_DIRECT_URL ?? config.DATABASE_URL;

/** Settings of the database that do not go together, a line each. */
export function databaseFaults(config: BaseConfig, services: readonly ServiceName[]): string[] {
  if (config.DATABASE_POOLER === 'none') return [];
  const faults: string[] = [];
  if (config.MIGRATE_ON_START && config.DATABASE_DIRECT_URL === undefined)
    faults.push(
      'DATABASE_POOLER=transaction needs DATABASE_DIRECT_URL, the owner’s login straight to Postgres, to migrate at the start; or MIGRATE_ON_START=false',
    );
  const lacking = services.map((name) => urlSettings[name]).filter((name) => config[name] === undefined);
  if (services.length > 1 && lacking.length > 0)
    faults.push(
      `DATABASE_POOLER=transaction needs a login for each service of the process: set ${lacking.join(', ')}`,
    );
  return faults;
}

/** What `pg` has and its types do not. */
interface ConnectedClient {
  readonly host: string;
  readonly connection: { readonly stream: unknown };
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
