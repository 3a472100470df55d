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
  /** Those of the unknown ones that this release does not work with. */
  readonly breaking: readonly string[];
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
  const needs = unknown.length === 0 ? new Map<string, string>() : await readNeeds(db);
  const breaking = unknown.map(({ name }) => name).filter((name) => !worksHere(needs.get(name)));
  return { migrations: [...known, ...unknown], databaseVersion, newest: newestMigration, breaking };
};

/**
 * Refuses a database that this release cannot work on. Call it once at start, before anything is served.
 *
 * @throws NewerDatabase, PendingMigrations
 */
export const assertCompatible = async <DB>(db: Kysely<DB>): Promise<void> => {
  const status = await readMigrationStatus(db);
  assertWorksHere(status);
  const pending = status.migrations.filter((migration) => migration.state === 'pending');
  if (pending.length > 0) {
    throw new PendingMigrations(
      status.databaseVersion,
      pending.map((migration) => migration.name),
    );
  }
};

/** For what only the release that made them can do: going down. @throws NewerDatabase */
export const assertNotNewer = (status: MigrationStatus): void => {
  const unknown = status.migrations.filter((migration) => migration.state === 'unknown').at(-1);
  if (unknown !== undefined) throw new NewerDatabase(unknown.name, status.newest);
};

/** A newer release may have migrated, as long as this one works with what it made. @throws NewerDatabase */
export const assertWorksHere = (status: MigrationStatus): void => {
  const breaking = status.breaking.at(-1);
  if (breaking !== undefined) throw new NewerDatabase(breaking, status.newest);
};

/** Numbers lead the names and have four digits: they compare as texts. */
const worksHere = (needs: string | undefined): boolean => needs !== undefined && needs <= newestMigration;

/** By migration: the newest one that a release must know in order to work with it. */
const readNeeds = async <DB>(db: Kysely<DB>): Promise<Map<string, string>> => {
  if (!(await isReadable(db, 'compatibility'))) return new Map();
  const { rows } = await sql<{ migration: string; needs: string }>`
    select migration, needs from gatehouse.compatibility`.execute(db);
  return new Map(rows.map(({ migration, needs }) => [migration, needs]));
};

// to_regclass is null, not an error, for a database that nobody has migrated; but the role may not even see the
// schema then, so ask the catalogue, which everybody may read.
const isReadable = async <DB>(db: Kysely<DB>, table: string): Promise<boolean> => {
  const { rows } = await sql<{ found: boolean }>`
    select exists (
      select from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname = 'gatehouse' and c.relname = ${table}
        and has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select')
    ) as found`.execute(db);
  return rows[0]?.found === true;
};

const readApplied = async <DB>(db: Kysely<DB>): Promise<Map<string, Date>> => {
  if (!(await isReadable(db, 'kysely_migration'))) return new Map();
  const rows = await sql<{ name: string; timestamp: string }>`
    select name, timestamp from gatehouse.kysely_migration order by name`.execute(db);
  return new Map(rows.rows.map((row) => [row.name, new Date(row.timestamp)]));
};
