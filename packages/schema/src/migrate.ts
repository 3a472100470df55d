import { Kysely, PostgresDialect } from 'kysely';
import { NO_MIGRATIONS } from 'kysely/migration';
import pg from 'pg';
import { splitDatabaseUrl } from './database-url.ts';
import { ensureLoginSettings } from './login-settings.ts';
import { UnsupportedPostgres } from './migration-error.ts';
import {
  assertNotNewer,
  assertWorksHere,
  type MigrationStatus,
  readMigrationStatus,
} from './migration-status.ts';
import {
  assertKnown,
  type DownTarget,
  downNames,
  downTarget,
  isApplied,
  upNames,
} from './migration-target.ts';
import { type MigrationStep, migratorOf, outcome } from './migrator.ts';
import { isInOneTransaction, oneByOne } from './online-migration.ts';
import { ensureRoles } from './roles.ts';

export interface MigrateUpOptions {
  /** Stop after this one; the newest unless given. */
  readonly to?: string;
  /** Called before each migration runs. */
  readonly onProgress?: (step: MigrationStep) => void;
}

export interface MigrateDownOptions extends DownTarget {
  readonly onProgress?: (step: MigrationStep) => void;
}

/**
 * Brings the database up to date, in one transaction: all of it or nothing; but online migrations run each by itself,
 * after what stands before them is committed. Safe to call from several processes at once: an advisory lock lets one
 * work and the others find nothing left to do. A database that a newer release has migrated, and that this one works
 * with, is left as it is. Resolves with what this call ran.
 *
 * @throws NewerDatabase, UnsupportedPostgres, RolesMissing, MigrationTargetRefused, MigrationFailed, InvalidDatabaseUrl
 */
export const migrateUp = async (
  url: string,
  options: MigrateUpOptions = {},
): Promise<readonly MigrationStep[]> =>
  withDatabase(url, async (db, pool) => {
    const { to } = options;
    assertKnown(to);
    const status = await readMigrationStatus(db);
    assertWorksHere(status);
    // A newer release has migrated: all that this one knows is there.
    if (status.migrations.some(({ state }) => state === 'unknown')) return [];
    if (to !== undefined && isApplied(status, to)) return [];
    await withClient(pool, async (client) => {
      await assertSupported(client);
      await ensureRoles(client);
      await ensureLoginSettings(client);
    });
    const { onProgress } = options;
    if (isInOneTransaction(upNames(status, to), status)) {
      const migrator = migratorOf(db, 'up', onProgress);
      const result = to === undefined ? await migrator.migrateToLatest() : await migrator.migrateTo(to);
      return outcome(db, result, 'up');
    }
    return oneByOne(pool, { db, direction: 'up', onProgress, names: (now) => upNames(now, to) });
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
  withDatabase(url, async (db, pool) => {
    const status = await readMigrationStatus(db);
    assertNotNewer(status);
    const target = downTarget(status, options);
    if (target === undefined) return [];
    const { onProgress } = options;
    if (isInOneTransaction(downNames(status, { to: target }), status)) {
      const result = await migratorOf(db, 'down', onProgress).migrateTo(
        target === 'none' ? NO_MIGRATIONS : target,
      );
      return outcome(db, result, 'down');
    }
    return oneByOne(pool, {
      db,
      direction: 'down',
      onProgress,
      names: (now) => downNames(now, { to: target }),
    });
  });

/** What is applied and what is pending. Changes nothing. @throws InvalidDatabaseUrl */
export const migrationStatus = async (url: string): Promise<MigrationStatus> =>
  withDatabase(url, (db) => readMigrationStatus(db));

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
