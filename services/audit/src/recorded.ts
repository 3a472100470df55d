import { answersOf, isUuid, questions } from '@gatehouse/kit';
import type { AuditContext } from './context.ts';
import { recorder } from './record.ts';

/**
 * Which events audit has: row and inbox entry are of one transaction, and the inbox answers from its primary key alone.
 * A dead letter counts as had: its payload is kept here, and publishing it again would change nothing.
 */
export const recorded = answersOf<AuditContext>()(questions.recordedEvents, ({ pool }) => async ({ ids }) => {
  const { rows } = await pool.query<{ event_id: string }>({
    name: 'audit_recorded',
    text: 'select event_id from inbox where consumer = $1 and event_id = any($2::uuid[])',
    values: [recorder, ids.filter(isUuid)],
  });
  return { recorded: rows.map(({ event_id }) => event_id) };
});
