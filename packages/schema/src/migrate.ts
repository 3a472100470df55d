import { Kysely, PostgresDialect, sql } from 'kysely';
import { type Migration, type MigrationResultSet, Migrator, NO_MIGRATIONS } from 'kysely/migration';
import pg from 'pg';
import { migrations } from '../migrations/index.ts';
import { splitDatabaseUrl } from './database-url.ts';
import { ensureLoginSettings } from './login-settings.ts';
import { MigrationFailed, MigrationTargetRefused, UnsupportedPostgres } from './migration-error.ts';
import {
  assertNotNewer,
  knownMigrations,
  type MigrationStatus,
  readMigrationStatus,
} from './migration-status.ts';
import { ensureRoles } from './roles.ts';

export interface MigrationStep {
  readonly name: string;
  readonly direction: 'up' | 'down';
}

export interface MigrateUpOptions {
  /** Stop after this one; the newest unless given. */
  readonly to?: string;
  /** Called before each migration runs. */
  readonly onProgress?: (step: MigrationStep) => void;
}

export interface MigrateDownOptions {
  /** How many to undo; 1 unless given. */
  readonly steps?: number;
  /** Undo all after this one; `none` undoes everything. Instead of `steps`. */
  readonly to?: string;
  readonly onProgress?: (step: MigrationStep) => void;
}

/**
 * Brings the database up to date, in one transaction: all of it or nothing. Safe to call from several processes at
 * once: an advisory lock lets one work and the others find nothing left to do. Resolves with what this call ran.
 *
 * @throws NewerDatabase, UnsupportedPostgres, RolesMissing, MigrationTargetRefused, MigrationFailed, InvalidDatabaseUrl
 */
export const migrateUp = async (
  url: string,
  options: MigrateUpOptions = {},
): Promise<readonly MigrationStep[]> =>
  withDatabase(url, async (db, pool) => {
    const { to } = options;
    if (to !== undefined && !knownMigrations.includes(to)) {
      throw new MigrationTargetRefused(`there is no migration ${to}: see "gatehouse migrate status"`);
    }
    const status = await readMigrationStatus(db);
    assertNotNewer(status);
    if (to !== undefined && isApplied(status, to)) return [];
    await withClient(pool, async (client) => {
      await assertSupported(client);
      await ensureRoles(client);
      await ensureLoginSettings(client);
    });
    const migrator = migratorOf(db, 'up', options.onProgress);
    const result = to === undefined ? await migrator.migrateToLatest() : await migrator.migrateTo(to);
    return outcome(db, result, 'up');
  });

/**
 * Undoes migrations, in one transaction. Data in the tables they made is gone: for development and for a failed
 * upgrade on a copy. Resolves with what was undone.
 *
 * @throws NewerDatabase, MigrationTargetRefused, MigrationFailed, InvalidDatabaseUrl
 */
export const migrateDown = async (
  url: string,
  options: MigrateDownOptions = {},
): Promise<readonly MigrationStep[]> =>
  withDatabase(url, async (db) => {
    const status = await readMigrationStatus(db);
    assertNotNewer(status);
    const target = downTarget(status, options);
    if (target === undefined) return [];
    const migrator = migratorOf(db, 'down', options.onProgress);
    const result = await migrator.migrateTo(target === 'none' ? NO_MIGRATIONS : target);
    return outcome(db, result, 'down');
  });

/** What is applied and what is pending. Changes nothing. @throws InvalidDatabaseUrl */
export const migrationStatus = async (url: string): Promise<MigrationStatus> =>
  withDatabase(url, (db) => readMigrationStatus(db));

const isApplied = (status: MigrationStatus, name: string): boolean =>
  status.migrations.some((migration) => migration.name === name && migration.state === 'applied');

/** The migration to go down to, or undefined when nothing is applied. */
const downTarget = (status: MigrationStatus, options: MigrateDownOptions): string | undefined => {
  const applied = status.migrations.filter((migration) => migration.state === 'applied');
  if (options.to !== undefined) {
    if (options.to !== 'none' && !isApplied(status, options.to)) {
      throw new MigrationTargetRefused(`cannot go down to ${options.to}: it is not applied`);
    }
    return applied.length === 0 ? undefined : options.to;
  }
  const steps = options.steps ?? 1;
  if (!Number.isSafeInteger(steps) || steps < 1) {
    throw new MigrationTargetRefused(`cannot go down ${steps} steps: give a whole number from 1`);
  }
  if (applied.length === 0) return undefined;
  return applied[applied.length - 1 - steps]?.name ?? 'none';
};

/** The history of this release over a connection, or within a transaction. */
export const migratorOf = (
  db: Kysely<unknown>,
  direction: MigrationStep['direction'],
  onProgress: ((step: MigrationStep) => void) | undefined,
): Migrator => {
  const run =
    (name: string, text: string): Migration['up'] =>
    async (tx) => {
      onProgress?.({ name, direction });
      await sql.raw(text).execute(tx);
    };
  const provided: Record<string, Migration> = {};
  for (const [name, text] of Object.entries(migrations)) {
    provided[name] = { up: run(name, text.up), down: run(name, text.down) };
  }
  return new Migrator({
    db,
    provider: { getMigrations: async () => provided },
    migrationTableSchema: 'gatehouse',
  });
};

const outcome = async (
  db: Kysely<unknown>,
  result: MigrationResultSet,
  direction: MigrationStep['direction'],
): Promise<readonly MigrationStep[]> => {
  if (result.error !== undefined) {
    // A newer release may have migrated between our look and Kysely's, which calls that 'corrupted migrations'.
    assertNotNewer(await readMigrationStatus(db));
    const failed = result.results?.find((step) => step.status === 'Error');
    throw new MigrationFailed(failed?.migrationName, direction, result.error);
  }
  return (result.results ?? []).map((step) => ({ name: step.migrationName, direction }));
};

const OLDEST_SERVER = 150_000;

/** @throws UnsupportedPostgres */
export const assertSupported = async (client: pg.PoolClient): Promise<void> => {
  const { rows } = await client.query<{ number: number; text: string }>(
    `select current_setting('server_version_num')::int as number, current_setting('server_version') as text`,
  );
  const version = rows[0];
  if (version !== undefined && version.number < OLDEST_SERVER) throw new UnsupportedPostgres(version.text);
};

/** Waiting longer for a lock than this would make everybody else queue behind us. */
const LOCK_TIMEOUT_MS = 30_000;

/** Works on connections without a limit on statements, which are closed afterwards. */
export const withDatabase = async <T>(
  text: string,
  work: (db: Kysely<unknown>, pool: pg.Pool) => Promise<T>,
): Promise<T> => {
  const { url, options } = splitDatabaseUrl(text);
  const pool = new pg.Pool({
    connectionString: url,
    options: `${options} -c statement_timeout=0 -c lock_timeout=${LOCK_TIMEOUT_MS} -c timezone=UTC -c client_min_messages=warning`,
    application_name: 'gatehouse-migrate',
    max: 2,
    connectionTimeoutMillis: 5_000,
    keepAlive: true,
  });
  // A connection that breaks reports through the query that used it; the event alone must not end the process.
  pool.on('error', () => {});
  pool.on('connect', (client) => {
    client.on('error', () => {});
  });
  try {
    return await work(new Kysely({ dialect: new PostgresDialect({ pool }) }), pool);
  } finally {
    await pool.end();
  }
};

/** Works on one connection of a pool. */
export const withClient = async (
  pool: pg.Pool,
  work: (client: pg.PoolClient) => Promise<void>,
): Promise<void> => {
  const client = await pool.connect();
  try {
    await work(client);
  } finally {
    client.release();
  }
};
