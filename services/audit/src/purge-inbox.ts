import { sql } from 'kysely';
import type { AuditContext } from './context.ts';

/**
 * Longer than the stream keeps an event (7 days): what is older is not delivered again, except from an outbox that could
 * not ask for as long as that; then record.ts looks for it in the trail.
 */
export const INBOX_KEPT_DAYS = 14;
/** Rows a statement: short enough that nobody waits for its locks. */
const BATCH = 5_000;

/** Forgets inbox entries that no delivery will come for any more. */
export async function purgeInbox({ db }: Pick<AuditContext, 'db'>): Promise<void> {
  for (;;) {
    const { rows } = await sql`
      with old as (
        select consumer, event_id from inbox where received_at < now() - make_interval(days => ${INBOX_KEPT_DAYS}::int)
        order by received_at limit ${BATCH} for update skip locked)
      delete from inbox using old where inbox.consumer = old.consumer and inbox.event_id = old.event_id
      returning 1`.execute(db);
    if (rows.length < BATCH) return;
  }
}
