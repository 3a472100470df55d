import type { Kysely } from 'kysely';
import { NO_MIGRATIONS } from 'kysely/migration';
import type pg from 'pg';
import { migrations } from '../migrations/index.ts';
import { knownMigrations, type MigrationStatus, readMigrationStatus } from './migration-status.ts';
import { type MigrationStep, migratorOf, type OnProgress, outcome } from './migrator.ts';

const isOnlineMigration = (name: string): boolean => migrations[name]?.online === true;

/** Whether all of it can be one transaction. In an empty database an online migration stops nobody, and need not be. */
export const isInOneTransaction = (names: readonly string[], status: MigrationStatus): boolean =>
  status.databaseVersion === null || !names.some(isOnlineMigration);

interface Run {
  readonly db: Kysely<unknown>;
  readonly direction: MigrationStep['direction'];
  readonly onProgress: OnProgress;
  /** What is to run, when it is our turn. */
  readonly names: (status: MigrationStatus) => readonly string[];
}

/**
 * Runs migrations of which some are online: those by themselves, statement by statement, what is between them in one
 * transaction. What was broken off is begun again by the next call.
 */
export const oneByOne = (pool: pg.Pool, run: Run): Promise<readonly MigrationStep[]> =>
  inTurn(pool, async () => {
    const done: MigrationStep[] = [];
    for (const names of runsOf(run.names(await readMigrationStatus(run.db)))) {
      const disableTransactions = isOnlineMigration(names[0] ?? '');
      const result = await migratorOf(run.db, run.direction, run.onProgress).migrateTo(
        targetOf(names.at(-1) ?? '', run.direction),
        { disableTransactions },
      );
      done.push(...(await outcome(run.db, result, run.direction, leftAfter(done, disableTransactions))));
    }
    return done;
  });

const leftAfter = (done: readonly MigrationStep[], online: boolean): string => {
  const before =
    done.length === 0 ? 'nothing before it was changed' : `${done.length} before it stay applied`;
  return online ? `${before}, it begins again next time` : before;
};

/** Neighbours that can share a transaction. */
const runsOf = (names: readonly string[]): string[][] => {
  const runs: string[][] = [];
  for (const name of names) {
    const last = runs.at(-1);
    if (last !== undefined && !isOnlineMigration(name) && !isOnlineMigration(last[0] ?? '')) last.push(name);
    else runs.push([name]);
  }
  return runs;
};

const targetOf = (name: string, direction: MigrationStep['direction']): string | typeof NO_MIGRATIONS =>
  direction === 'up' ? name : (knownMigrations[knownMigrations.indexOf(name) - 1] ?? NO_MIGRATIONS);

const TURN = '7310482259167830142';
const LOOK_EVERY_MS = 200;

/**
 * One process at a time. Whoever waits within `pg_advisory_lock` holds a snapshot, for which `create index concurrently`
 * waits: both would wait for ever. So the lock is tried again and again.
 */
const inTurn = async <T>(pool: pg.Pool, work: () => Promise<T>): Promise<T> => {
  const client = await pool.connect();
  try {
    for (;;) {
      const { rows } = await client.query<{ ours: boolean }>(`select pg_try_advisory_lock(${TURN}) as ours`);
      if (rows[0]?.ours === true) break;
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    }
    return await work();
  } finally {
    // Ends the session, and with it the lock.
    client.release(true);
  }
};
