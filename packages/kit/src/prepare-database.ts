import { assertCompatible, checkSessions, explainDatabaseError, migrateUp } from '@gatehouse/schema';
import { type Database, directUrl, schemaOf } from './database.ts';
import { isConnectivityError } from './database-error.ts';
import type { Log } from './log.ts';
import type { ServiceName } from './service.ts';
import type { BaseConfig } from './settings.ts';

/** A service's own connections, and whose they are. */
interface Prepared {
  readonly service: { readonly name: ServiceName };
  readonly database: Database;
}

/**
 * Migrates, unless that is a step of its own, and refuses a database or connections that this release cannot work on.
 * Migrations run under an advisory lock, so that of many instances one migrates and the others wait for it.
 */
export async function prepareDatabase(
  members: readonly Prepared[],
  config: BaseConfig,
  log: Log,
): Promise<void> {
  await patiently(log, async () => {
    if (config.MIGRATE_ON_START) {
      await migrateUp(directUrl(config), {
        onProgress: ({ name }) => log.info({ migration: name }, 'migrating'),
      });
    }
    const first = members[0];
    if (first !== undefined) await assertCompatible(first.database.db);
    await Promise.all(members.map((member) => requireSessions(member, config, log)));
  });
}

/** A pooler that nobody told of would mix up the sessions of the services. */
async function requireSessions({ service, database }: Prepared, config: BaseConfig, log: Log): Promise<void> {
  const faults = await checkSessions(database.pool, {
    service: schemaOf[service.name],
    pooled: config.DATABASE_POOLER === 'transaction',
    namedStatements: config.DATABASE_PREPARED_STATEMENTS,
    otherLogin: !config.DATABASE_SET_ROLE,
  });
  for (const { fatal, text } of faults) {
    if (fatal) throw new Error(text);
    log.warn({ service: service.name, finding: text }, 'database sessions are not as they should be');
  }
}

// A database that is still starting is waited for; anything else is a fault to show at once.
async function patiently(log: Log, work: () => Promise<void>, seconds = 60): Promise<void> {
  const until = performance.now() + seconds * 1000;
  for (;;) {
    try {
      return await work();
    } catch (error) {
      const waits =
        isConnectivityError(error) || (error instanceof Error && error.name === 'PendingMigrations');
      if (!waits || performance.now() > until) {
        const explained = explainDatabaseError(error);
        throw explained === undefined ? error : new Error(explained, { cause: error });
      }
      log.warn({ err: error }, 'waiting for the database');
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}
