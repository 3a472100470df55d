import { sql } from 'kysely';
import type { AuthContext } from './context.ts';

const ROWS_PER_BATCH = 500;

/**
 * Removes the rows of deleted users once token has confirmed the deletion: from then on no session of theirs lives, and
 * none can be opened. Before that the row is what the sweep tells token by.
 */
export async function removeDeletedUsers(ctx: AuthContext): Promise<void> {
  for (;;) {
    const { numAffectedRows = 0n } = await sql`
      delete from user_account where id in (
        select id from user_account where status = 'deleted' and synced_version = version
        limit ${ROWS_PER_BATCH} for update skip locked)`.execute(ctx.db);
    if (numAffectedRows < BigInt(ROWS_PER_BATCH)) return;
  }
}
