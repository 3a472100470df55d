import { type Kysely, sql } from 'kysely';
import { type Migration, type MigrationResultSet, Migrator } from 'kysely/migration';
import { type MigrationText, migrations } from '../migrations/index.ts';
import { forgetCompatibility, recordCompatibility } from './compatibility.ts';
import { dropInvalidIndex } from './invalid-index.ts';
import { MigrationFailed } from './migration-error.ts';
import { assertNotNewer, assertWorksHere, readMigrationStatus } from './migration-status.ts';
import { statementsOf, withinTransaction } from './statements.ts';

export interface MigrationStep {
  readonly name: string;
  readonly direction: 'up' | 'down';
}

export type OnProgress = ((step: MigrationStep) => void) | undefined;

/** The history of this release over a connection, or within a transaction. */
export const migratorOf = (
  db: Kysely<unknown>,
  direction: MigrationStep['direction'],
  onProgress: OnProgress,
): Migrator => {
  const provided: Record<string, Migration> = {};
  for (const [name, text] of Object.entries(migrations)) {
    provided[name] = {
      async up(tx) {
        onProgress?.({ name, direction });
        await runText(tx, text, 'up');
        await recordCompatibility(tx, name, text);
      },
      async down(tx) {
        onProgress?.({ name, direction });
        await forgetCompatibility(tx, name);
        await runText(tx, text, 'down');
      },
    };
  }
  return new Migrator({
    db,
    provider: { getMigrations: async () => provided },
    migrationTableSchema: 'gatehouse',
  });
};

const runText = async (
  db: Kysely<unknown>,
  text: MigrationText,
  direction: MigrationStep['direction'],
): Promise<void> => {
  if (text.online !== true) {
    await sql.raw(text[direction]).execute(db);
    return;
  }
  // What is new in this transaction nobody else uses yet: it is built at once, and all of it or nothing.
  if (db.isTransaction) {
    for (const statement of statementsOf(text[direction]))
      await sql.raw(withinTransaction(statement)).execute(db);
    return;
  }
  // It waits for every transaction that is older, however long that one lasts, and stops nobody meanwhile.
  await sql`set lock_timeout = 0`.execute(db);
  for (const statement of statementsOf(text[direction])) {
    await dropInvalidIndex(db, statement);
    await sql.raw(statement).execute(db);
  }
  await sql`reset lock_timeout`.execute(db);
};

/** What a run did. @throws MigrationFailed, NewerDatabase */
export const outcome = async (
  db: Kysely<unknown>,
  result: MigrationResultSet,
  direction: MigrationStep['direction'],
  left?: string,
): Promise<readonly MigrationStep[]> => {
  if (result.error !== undefined) {
    // A newer release may have migrated between our look and Kysely's, which calls that 'corrupted migrations'.
    const status = await readMigrationStatus(db);
    if (direction === 'down') assertNotNewer(status);
    assertWorksHere(status);
    if (status.migrations.some(({ state }) => state === 'unknown')) return [];
    const failed = result.results?.find((step) => step.status === 'Error');
    throw new MigrationFailed(failed?.migrationName, direction, result.error, left);
  }
  return (result.results ?? []).map((step) => ({ name: step.migrationName, direction }));
};
