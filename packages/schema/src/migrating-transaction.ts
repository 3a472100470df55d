import { Kysely, PostgresDialect } from 'kysely';
import type pg from 'pg';
import { ensureLoginSettings } from './login-settings.ts';
import { assertSupported, withClient, withDatabase } from './migrate.ts';
import { MigrationFailed, MigrationTargetRefused } from './migration-error.ts';
import { knownMigrations } from './migration-status.ts';
import { migratorOf } from './migrator.ts';
import { ensureRoles } from './roles.ts';

/** A transaction in which the database can also be migrated. */
export interface MigratingTransaction {
  /** The transaction's own connection: for what needs more than queries, such as COPY. */
  readonly client: pg.PoolClient;
  /**
   * Runs the migrations up to this one. Nothing of it is seen outside before the commit.
   * @throws MigrationTargetRefused, MigrationFailed
   */
  migrateTo(name: string): Promise<void>;
}

/**
 * Runs `work` in one transaction that may migrate, so that a restore is there whole or not at all. The roles are made
 * before it, outside: they belong to the whole cluster.
 * @throws UnsupportedPostgres, RolesMissing, InvalidDatabaseUrl, and what `work` throws; then nothing is changed
 */
export const inMigratingTransaction = async <T>(
  url: string,
  work: (tx: MigratingTransaction) => Promise<T>,
): Promise<T> =>
  withDatabase(url, async (_db, pool) => {
    await withClient(pool, async (client) => {
      await assertSupported(client);
      await ensureRoles(client);
      await ensureLoginSettings(client);
    });
    const client = await pool.connect();
    let done = false;
    try {
      const result = await new Kysely<unknown>({ dialect: overOne(pool, client) })
        .transaction()
        .execute((tx) => work({ client, migrateTo: (name) => migrateWithin(tx, name) }));
      done = true;
      return result;
    } finally {
      // After a fault the connection may be in the middle of a COPY: it is not used again.
      client.release(!done);
    }
  });

const migrateWithin = async (tx: Kysely<unknown>, name: string): Promise<void> => {
  if (!knownMigrations.includes(name)) throw new MigrationTargetRefused(`there is no migration ${name}`);
  const { error, results } = await migratorOf(tx, 'up', undefined).migrateTo(name);
  const failed = results?.find((step) => step.status === 'Error');
  if (error !== undefined) throw new MigrationFailed(failed?.migrationName, 'up', error);
};

/** Kysely on one connection that stays the caller's. */
const overOne = ({ options }: pg.Pool, client: pg.PoolClient): PostgresDialect =>
  new PostgresDialect({
    pool: {
      options,
      connect: async () => ({ query: client.query.bind(client), release: () => {} }),
      end: async () => {},
    },
  });
