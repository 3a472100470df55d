import { type Kysely, sql } from 'kysely';
import { migrations } from '../migrations/index.ts';
import { NewerDatabase, PendingMigrations } from './migration-error.ts';

export interface MigrationState {
  /** Such as `0003-token`. */
  readonly name: string;
  readonly state: 'applied' | 'pending' | 'unknown';
  /** When it was applied; null for a pending one. */
  readonly appliedAt: Date | null;
}

export interface MigrationStatus {
  /** In order. `unknown` ones were applied by a newer release. */
  readonly migrations: readonly MigrationState[];
  /** The last applied migration; null for an empty database. */
  readonly databaseVersion: string | null;
  /** The last migration that this release knows. */
  readonly newest: string;
}

/** The names that this release knows, in order. */
export const knownMigrations: readonly string[] = Object.keys(migrations);
export const newestMigration: string = knownMigrations.at(-1) ?? '';

/** Reads the state over an open connection. Needs only what every service's role may do. */
export const readMigrationStatus = async <DB>(db: Kysely<DB>): Promise<MigrationStatus> => {
  const applied = await readApplied(db);
  const known: MigrationState[] = knownMigrations.map((name) => {
    const appliedAt = applied.get(name) ?? null;
    return { name, state: appliedAt === null ? 'pending' : 'applied', appliedAt };
  });
  const unknown: MigrationState[] = [...applied]
    .filter(([name]) => !knownMigrations.includes(name))
    .map(([name, appliedAt]) => ({ name, state: 'unknown', appliedAt }));
  const databaseVersion = [...applied.keys()].sort().at(-1) ?? null;
  return { migrations: [...known, ...unknown], databaseVersion, newest: newestMigration };
};

/**
 * Refuses a database that this release cannot work on. Call it once at start, before anything is served.
 *
 * @throws NewerDatabase, PendingMigrations
 */
export const assertCompatible = async <DB>(db: Kysely<DB>): Promise<void> => {
  const status = await readMigrationStatus(db);
  assertNotNewer(status);
  const pending = status.migrations.filter((migration) => migration.state === 'pending');
  if (pending.length > 0) {
    throw new PendingMigrations(
      status.databaseVersion,
      pending.map((migration) => migration.name),
    );
  }
};

/** @throws NewerDatabase */
export const assertNotNewer = (status: MigrationStatus): void => {
  const unknown = status.migrations.filter((migration) => migration.state === 'unknown').at(-1);
  if (unknown !== undefined) throw new NewerDatabase(unknown.name, status.newest);
};

const readApplied = async <DB>(db: Kysely<DB>): Promise<Map<string, Date>> => {
  // to_regclass is null, not an error, for a database that nobody has migrated; but the role may not even see the
  // schema then, so ask the catalogue, which everybody may read.
  const found = await sql<{ found: boolean }>`
    select exists (
      select from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname = 'gatehouse' and c.relname = 'kysely_migration'
        and has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
    ) as found`.execute(db);
  if (found.rows[0]?.found !== true) return new Map();
  const rows = await sql<{ name: string; timestamp: string }>`
    select name, timestamp from gatehouse.kysely_migration order by name`.execute(db);
  return new Map(rows.rows.map((row) => [row.name, new Date(row.timestamp)]));
};
