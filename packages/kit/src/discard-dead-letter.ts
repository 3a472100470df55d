import { type Kysely, sql } from 'kysely';
import { type DeadLetterCause, toldOf } from './dead-letter.ts';
import { isUuid } from './id.ts';
import { append } from './outbox.ts';

/** What became of a discard. */
export type Discard = 'discarded' | 'already_discarded' | 'already_replayed' | 'unknown';

/**
 * Decides that a dead letter will never be taken, so that it no longer waits: once, however often it is asked for. It is
 * kept with its payload, and may be replayed. The mark and the event that tells of it are one transaction.
 */
export async function discardDeadLetter(
  // biome-ignore lint/suspicious/noExplicitAny: any service's tables; Kysely is invariant in them.
  db: Kysely<any>,
  id: string,
  by: { readonly service: string; readonly cause: DeadLetterCause },
): Promise<Discard> {
  if (!isUuid(id)) return 'unknown';
  return db.transaction().execute(async (tx) => {
    // Locked: whoever replays it now has either taken it before, or takes one that was discarded.
    const { rows } = await sql<DiscardedRow>`
      select consumer, event_id, replayed_at, discarded_at from dead_letter where id = ${id} for update`.execute(
      tx,
    );
    const [letter] = rows;
    if (letter === undefined) return 'unknown';
    if (letter.replayed_at !== null) return 'already_replayed';
    if (letter.discarded_at !== null) return 'already_discarded';
    await sql`update dead_letter set discarded_at = now() where id = ${id}`.execute(tx);
    const told = toldOf({ id, ...letter }, by);
    await append(tx, {
      type: 'admin.dead_letter.discarded',
      ...told,
      data: { ...told.data, event_id: letter.event_id },
    });
    return 'discarded';
  });
}

interface DiscardedRow {
  readonly consumer: string;
  readonly event_id: string | null;
  readonly replayed_at: Date | null;
  readonly discarded_at: Date | null;
}
