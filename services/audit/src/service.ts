import { defineService } from '@gatehouse/kit';
import type { AuditContext } from './context.ts';
import { listEvents } from './list-events.ts';
import { makeMonthsAhead } from './partitions.ts';
import { purgeInbox } from './purge-inbox.ts';
import { readEvent } from './read-event.ts';
import { record } from './record.ts';
import { recorded } from './recorded.ts';
import { auditSettings } from './settings.ts';

const DAY_SECONDS = 86_400;

/** Records every event, once, and finds it again. */
export const audit = defineService({
  name: 'audit',
  settings: auditSettings,
  routes: [listEvents, readEvent],
  answers: [recorded],
  consumers: [record],
  jobs: [
    { name: 'audit-months-ahead', everySeconds: DAY_SECONDS, instances: 'one', run: makeMonthsAhead },
    { name: 'audit-inbox-purge', everySeconds: 600, instances: 'one', run: purgeInbox },
  ],
  open: async (_ctx: AuditContext) => ({}),
  start: makeMonthsAhead,
});
