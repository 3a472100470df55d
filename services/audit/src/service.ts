import { defineService } from '@gatehouse/kit';
import { adoptUnchained } from './adopt.ts';
import { createCheckpoints, probeChain } from './checkpoint.ts';
import { checkpointKeyOf, showCheckpointKey } from './checkpoint-key.ts';
import type { AuditContext, BaseContext } from './context.ts';
import { erasePerson } from './erase.ts';
import { exportEvents } from './export-events.ts';
import { acknowledgeFault, listFaults } from './faults.ts';
import { listCheckpoints } from './list-checkpoints.ts';
import { listEvents } from './list-events.ts';
import { listLoginEvents } from './login-events.ts';
import { countLoginFailures } from './login-failures.ts';
import { makeMonthsAhead } from './partitions.ts';
import { purgeInbox } from './purge-inbox.ts';
import { readEvent } from './read-event.ts';
import { record } from './record.ts';
import { recorded } from './recorded.ts';
import { dropOldMonths } from './retention.ts';
import { lookForRollback } from './rollback.ts';
import { auditFaults, auditSettings } from './settings.ts';

const DAY_SECONDS = 86_400;

/** Records every event, once, and finds it again. */
export const audit = defineService({
  name: 'audit',
  settings: auditSettings,
  check: auditFaults,
  routes: [
    listEvents,
    readEvent,
    exportEvents,
    listLoginEvents,
    countLoginFailures,
    listCheckpoints,
    showCheckpointKey,
    listFaults,
    acknowledgeFault,
    erasePerson,
  ],
  answers: [recorded],
  consumers: [record],
  jobs: [
    { name: 'audit-months-ahead', everySeconds: DAY_SECONDS, instances: 'one', run: makeMonthsAhead },
    { name: 'audit-inbox-purge', everySeconds: 600, instances: 'one', run: purgeInbox },
    { name: 'audit-checkpoint', everySeconds: 1, instances: 'each', run: (ctx) => ctx.checkpoints.tick() },
    { name: 'audit-adopt', everySeconds: 600, instances: 'one', run: adoptUnchained },
    { name: 'audit-retention', everySeconds: 3_600, instances: 'one', run: dropOldMonths },
  ],
  open: async (ctx: BaseContext): Promise<Omit<AuditContext, keyof BaseContext>> => {
    const checkpointKey = checkpointKeyOf(ctx.secrets.key('audit-checkpoint'), ctx.config.AUDIT_LOG_ORIGIN);
    return { checkpointKey, checkpoints: createCheckpoints({ ...ctx, checkpointKey }) };
  },
  health: async (ctx) => [await probeChain(ctx)],
  start: async (ctx) => {
    await makeMonthsAhead(ctx);
    await lookForRollback(ctx);
  },
});
