/** The database has run a migration that this release neither knows nor works with: a newer release was here. */
export class NewerDatabase extends Error {
  override readonly name = 'NewerDatabase';
  readonly databaseVersion: string;
  readonly newest: string;
  constructor(databaseVersion: string, newest: string) {
    super(
      `the database is at version ${databaseVersion}, this release knows up to ${newest}: start the newer release, or restore a backup made before the upgrade`,
    );
    this.databaseVersion = databaseVersion;
    this.newest = newest;
  }
}

/** The database lacks migrations that this release needs. */
export class PendingMigrations extends Error {
  override readonly name = 'PendingMigrations';
  readonly pending: readonly string[];
  constructor(databaseVersion: string | null, pending: readonly string[]) {
    super(
      `the database is at version ${databaseVersion ?? 'none'} and lacks ${pending.length} migration${pending.length === 1 ? '' : 's'} up to ${pending.at(-1) ?? 'none'}: run "gatehouse migrate up"`,
    );
    this.pending = pending;
  }
}

/** The migrating user can neither make the service roles nor use them as they are. */
export class RolesMissing extends Error {
  override readonly name = 'RolesMissing';
  constructor(role: string, user: string) {
    super(
      `the database role ${role} does not exist and the user ${user} may not create it: run infra/postgres/roles.sql in this database as an administrator, or give ${user} CREATEROLE`,
    );
  }
}

/** A migration did not run; the message says what is left of the call. `cause` is Postgres' error. */
export class MigrationFailed extends Error {
  override readonly name = 'MigrationFailed';
  constructor(
    migration: string | undefined,
    direction: 'up' | 'down',
    cause: unknown,
    left = 'nothing was changed',
  ) {
    const said = cause instanceof Error ? cause.message : String(cause);
    const what = migration === undefined ? `migrating ${direction}` : `migration ${migration} (${direction})`;
    super(`${what} failed and ${left}: ${said}`, { cause });
  }
}

/** The target given to migrateUp or migrateDown makes no sense for this database. */
export class MigrationTargetRefused extends Error {
  override readonly name = 'MigrationTargetRefused';
}

/** The server is older than what the SQL needs. */
export class UnsupportedPostgres extends Error {
  override readonly name = 'UnsupportedPostgres';
  constructor(version: string) {
    super(`the database server is Postgres ${version}: Gatehouse needs Postgres 15 or newer`);
  }
}
