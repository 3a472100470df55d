import { eventSubjects } from '@gatehouse/events';
import { consumer } from '@gatehouse/kit';
import type { AuditDatabase } from '@gatehouse/schema';
import type { Transaction } from 'kysely';
import { appendRows } from './append-rows.ts';
import type { AuditContext } from './context.ts';
import { ensureMonths, type KnownMonths } from './partitions.ts';
import { rowOf, type TrailRow } from './trail-row.ts';

/** Name of the consumer: in NATS, in the inbox, and in what `recorded.ts` answers from. */
export const recorder = 'audit-record';

/**
 * The inbox keeps an event for eight days at least (the kit's confirm.ts). What is younger than this and not in it was
 * never recorded; what is older may have been, and is looked for in the trail.
 */
const REMEMBERED_MS = 7 * 86_400_000;

/** One consumer for every event there will ever be; a type that this release does not know is recorded all the same. */
export const record = consumer<AuditContext>({
  name: recorder,
  filter: eventSubjects,
  handle: ({ metrics, log }) => {
    const known: KnownMonths = new Set();
    return async (tx, events, { fresh }) => {
      const rows = await withoutRecorded(tx, events.map(rowOf));
      await ensureMonths(tx, [new Date()], known);
      await appendRows(tx, rows);
      for (const row of rows) if (grave.has(row.severity)) log.warn(lineOf(row), 'security event');
      // A repair is late by nature: it would drown what the way here takes.
      if (!fresh) return;
      const now = Date.now();
      for (const { occurredAt } of rows)
        metrics.auditLag.observe(Math.max(0, now - occurredAt.getTime()) / 1000);
    };
  },
});

const grave: ReadonlySet<string> = new Set(['warning', 'critical']);

/** The fields that guide 004 §7 shows, for those who watch the logs rather than the bus. */
const lineOf = ({ type, severity, tenantId, userId, personal, traceId }: TrailRow) => ({
  event: type,
  severity,
  tenant_id: tenantId,
  user_id: userId,
  client_ip: personal?.fields.client_ip ?? null,
  user_agent: personal?.fields.user_agent ?? null,
  trace_id: traceId,
});

// The inbox has left out what it remembers. Two deliveries of one old event cannot both come this far: each needs the
// event's row in the inbox first.
async function withoutRecorded(
  tx: Transaction<AuditDatabase>,
  rows: readonly TrailRow[],
): Promise<readonly TrailRow[]> {
  const since = Date.now() - REMEMBERED_MS;
  const old = rows.filter(({ occurredAt }) => occurredAt.getTime() < since).map(({ id }) => id);
  if (old.length === 0) return rows;
  const found = await tx.selectFrom('event').select('id').where('id', 'in', old).execute();
  const recorded = new Set(found.map(({ id }) => id));
  return rows.filter(({ id }) => !recorded.has(id));
}
