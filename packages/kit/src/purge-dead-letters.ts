import type { Pool } from 'pg';
import type { JobDefinition } from './job.ts';
import type { Context, ServiceName } from './service.ts';

/** Rows of one statement: short enough that nobody waits for its locks. */
const BATCH = 1_000;

// Whoever replays one now has it locked. Of one that waits both times are null, and so is the comparison.
const purge = `delete from dead_letter where id = any(array(
  select id from dead_letter where greatest(replayed_at, discarded_at) < now() - make_interval(days => $1::int)
  limit ${BATCH} for update skip locked))`;

/** The job of every service that forgets its dead letters `DEAD_LETTER_DAYS` after they were replayed or discarded. */
export const deadLetterPurge = (service: ServiceName): JobDefinition<Context> => ({
  name: `${service}-dead-letter-purge`,
  everySeconds: 3_600,
  instances: 'one',
  run: async ({ pool, config, log }) => {
    const letters = await purgeDeadLetters(pool, config.DEAD_LETTER_DAYS);
    if (letters > 0)
      log.info({ letters }, 'dead letters that were replayed or discarded long ago are removed');
  },
});

/**
 * Removes the dead letters of a service (the pool's) that were replayed or discarded more than so many days ago, and says
 * how many; 0 days keep them for ever. One that waits is never removed: somebody has to decide about it.
 */
export async function purgeDeadLetters(pool: Pool, days: number): Promise<number> {
  let removed = 0;
  if (days === 0) return removed;
  for (;;) {
    const { rowCount } = await pool.query(purge, [days]);
    removed += rowCount ?? 0;
    if ((rowCount ?? 0) < BATCH) return removed;
  }
}
