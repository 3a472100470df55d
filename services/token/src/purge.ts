import type { TokenDatabase } from '@gatehouse/schema';
import { type Kysely, sql } from 'kysely';
import type { TokenJob } from './context.ts';

/** Rows of one statement of the job. */
export const ROWS_PER_BATCH = 2_000;
/** The job's lock is a transaction, which Postgres ends after 30 idle seconds. */
const BUDGET_MS = 15_000;

/**
 * Forgets refresh tokens and sessions a day after their end. A refresh token goes only when its own lifetime is over:
 * until then a second use of it must be known as one. A revoked session stays until its absolute end, so that nothing
 * is ever less revoked than before.
 */
export const purge: TokenJob = {
  name: 'session-purge',
  everySeconds: 300,
  instances: 'one',
  run: async (ctx) => {
    const until = performance.now() + BUDGET_MS;
    for (const table of ['refresh_token', 'session'] as const) {
      while (performance.now() < until && (await purgeBatch(ctx.db, table)) === ROWS_PER_BATCH);
    }
  },
};

/** Removes one batch and says how many rows that were; rows that somebody else is removing are left to them. */
export async function purgeBatch(
  db: Kysely<TokenDatabase>,
  table: 'refresh_token' | 'session',
  rows = ROWS_PER_BATCH,
): Promise<number> {
  const from = sql.table(table);
  const { numAffectedRows = 0n } = await sql`
    delete from ${from} where ctid = any(array(
      select ctid from ${from} where expires_at < now() - interval '1 day' limit ${rows} for update skip locked))`.execute(
    db,
  );
  return Number(numAffectedRows);
}
