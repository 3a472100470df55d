import { NO_MIGRATIONS } from 'kysely/migration';
import type pg from 'pg';
import { migrateUp, withDatabase } from './migrate.ts';
import { MigrationTargetRefused } from './migration-error.ts';
import { assertNotNewer, type MigrationStatus, readMigrationStatus } from './migration-status.ts';
import { type DownTarget, downNames, upNames } from './migration-target.ts';
import { migratorOf } from './migrator.ts';
import { type PlannedMigration, type PlanTask, planByRunning, planFromText } from './plan.ts';
import { ensureRoles } from './roles.ts';
import { fillWithSampleRows } from './sample-rows.ts';
import { withScratchDatabase } from './scratch-database.ts';
import { readFilledTables, readTableSizes, type TableSize } from './table-size.ts';

/**
 * How a plan comes to know what statements do. `scratch`: they run in a new database with the schema of the real one and
 * some made-up rows; the real one is only looked at. `rehearsal`: they run in the real one and are rolled back, so that
 * for as long as they take their locks stop others. `text`: nothing runs.
 */
export type PlanBasis = 'scratch' | 'rehearsal' | 'text';

export interface PlanOptions extends DownTarget {
  readonly direction: 'up' | 'down';
  readonly basis: PlanBasis;
  /** A server for the scratch database, by a login that may make databases; the database's own unless given. */
  readonly scratchUrl?: string | undefined;
  /** How long a rehearsal waits for a lock, in milliseconds; 2,000 unless given. */
  readonly lockTimeoutMs?: number | undefined;
  /** How long one statement of a rehearsal may take, in milliseconds; 30,000 unless given. */
  readonly statementTimeoutMs?: number | undefined;
}

/** What migrating would do. */
export interface MigrationPlan {
  readonly direction: 'up' | 'down';
  readonly basis: PlanBasis;
  /** The last applied migration; null for an empty database. */
  readonly databaseVersion: string | null;
  readonly migrations: readonly PlannedMigration[];
  /** Of the real database, by `schema.table`. */
  readonly sizes: ReadonlyMap<string, TableSize>;
}

/**
 * What `migrateUp` or `migrateDown` would do, statement by statement. Nothing of it stays.
 *
 * @throws NewerDatabase, MigrationTargetRefused, MigrationFailed, ScratchRefused, RolesMissing, InvalidDatabaseUrl
 */
export const planMigrations = async (url: string, options: PlanOptions): Promise<MigrationPlan> =>
  withDatabase(url, async (db, pool) => {
    const status = await readMigrationStatus(db);
    assertNotNewer(status);
    const { direction, basis } = options;
    const names = direction === 'up' ? upNames(status, options.to) : downNames(status, options);
    const client = await pool.connect();
    try {
      const sizes = await readTableSizes(client);
      const about: About = { status, task: { names, direction }, client, filled: sizes.keys() };
      const migrations = names.length === 0 ? [] : await planned(url, options, about);
      return { direction, basis, databaseVersion: status.databaseVersion, migrations, sizes };
    } finally {
      client.release();
    }
  });

interface About {
  readonly status: MigrationStatus;
  readonly task: PlanTask;
  /** Of the real database. */
  readonly client: pg.PoolClient;
  readonly filled: Iterable<string>;
}

const planned = async (url: string, options: PlanOptions, about: About): Promise<PlannedMigration[]> => {
  if (options.basis === 'text') return planFromText(about.task);
  if (options.basis === 'rehearsal') return rehearsed(about, options);
  const filled = await readFilledTables(about.client, about.filled);
  return withScratchDatabase(options.scratchUrl ?? url, (scratch) =>
    onCopy(scratch, about.task, { version: about.status.databaseVersion, filled }),
  );
};

const LOCK_TIMEOUT_MS = 2_000;
const STATEMENT_TIMEOUT_MS = 30_000;

const rehearsed = async (
  { status, task, client }: About,
  { lockTimeoutMs = LOCK_TIMEOUT_MS, statementTimeoutMs = STATEMENT_TIMEOUT_MS }: PlanOptions,
): Promise<PlannedMigration[]> => {
  if (status.databaseVersion === null)
    throw new MigrationTargetRefused('an empty database has nothing to rehearse on: leave --rehearse out');
  await client.query(`set lock_timeout = ${lockTimeoutMs}; set statement_timeout = ${statementTimeoutMs}`);
  return planByRunning(client, task, { apart: false });
};

interface CopyOf {
  readonly version: string | null;
  /** Tables that have rows: what a migration does may depend on that. */
  readonly filled: ReadonlySet<string>;
}

const onCopy = async (
  scratch: string,
  task: PlanTask,
  { version, filled }: CopyOf,
): Promise<PlannedMigration[]> => {
  if (version !== null) await migrateUp(scratch, { to: version });
  return withDatabase(scratch, async (db, pool) => {
    // Makes the tables of the history, which the first migration grants rights on.
    if (version === null) await migratorOf(db, 'up', undefined).migrateTo(NO_MIGRATIONS);
    const client = await pool.connect();
    try {
      if (version === null) await ensureRoles(client);
      await client.query('begin');
      await fillWithSampleRows(client, 0, filled);
      await client.query('commit');
      return await planByRunning(client, task, { apart: true });
    } finally {
      client.release();
    }
  });
};
