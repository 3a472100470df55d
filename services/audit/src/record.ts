import { definitionOf, eventSubjects } from '@gatehouse/events';
import { consumer, type IncomingEvent, isUuid, traceIdOf } from '@gatehouse/kit';
import type { AuditDatabase } from '@gatehouse/schema';
import { sql, type Transaction } from 'kysely';
import type { AuditContext } from './context.ts';
import { ensureMonths, type KnownMonths } from './partitions.ts';

/** Name of the consumer: in NATS, in the inbox, and in what `recorded.ts` answers from. */
export const recorder = 'audit-record';

/** One consumer for every event there will ever be; a type that this release does not know is recorded all the same. */
export const record = consumer<AuditContext>({
  name: recorder,
  filter: eventSubjects,
  handle: ({ metrics, log }) => {
    const known: KnownMonths = new Set();
    return async (tx, events, { fresh }) => {
      const rows = events.map(rowOf);
      await ensureMonths(
        tx,
        rows.map(({ occurredAt }) => occurredAt),
        known,
      );
      await insert(tx, rows);
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
const lineOf = (row: Row) => ({
  event: row.type,
  severity: row.severity,
  tenant_id: row.tenantId,
  user_id: row.userId,
  client_ip: row.clientIp,
  user_agent: row.userAgent,
  trace_id: row.traceId,
});

interface Row {
  readonly id: string;
  readonly occurredAt: Date;
  readonly type: string;
  readonly severity: string;
  readonly outcome: string | null;
  readonly source: string;
  readonly tenantId: string | null;
  readonly userId: string | null;
  readonly actor: string | null;
  readonly subject: string | null;
  readonly clientIp: string | null;
  readonly userAgent: string | null;
  readonly traceId: string | null;
  readonly json: string;
}

/** The row of an event. @throws when its time is none: it then becomes a dead letter. */
export function rowOf(event: IncomingEvent): Row {
  const { data } = event;
  const occurredAt = new Date(event.time);
  if (Number.isNaN(occurredAt.getTime())) throw new Error('ce-time is not a time');
  const definition = definitionOf(event.type);
  const userId = uuidOf(data.user_id);
  return {
    id: event.id,
    occurredAt,
    type: event.type,
    severity: definition?.severity ?? 'info',
    outcome: definition?.outcome ?? null,
    source: event.source,
    tenantId: uuidOf(event.tenantId) ?? uuidOf(data.tenant_id),
    userId,
    // Of an administrator's change user_id is whom it concerns; null says the command line or the schedule did it.
    actor: 'actor_id' in data ? textOf(data.actor_id) : userId,
    subject: event.subject === '' ? null : event.subject,
    clientIp: textOf(data.client_ip),
    userAgent: textOf(data.user_agent),
    traceId: textOf(data.trace_id) ?? traceIdOf(event.traceparent),
    json: event.json,
  };
}

const textOf = (value: unknown): string | null => (typeof value === 'string' ? value : null);
const uuidOf = (value: unknown): string | null => (typeof value === 'string' && isUuid(value) ? value : null);

// The inbox has already left out what was recorded before; the conflict clause stands behind it, for events that are
// delivered again after the inbox has forgotten them.
async function insert(tx: Transaction<AuditDatabase>, rows: readonly Row[]): Promise<void> {
  const all = <K extends keyof Row>(key: K): Row[K][] => rows.map((row) => row[key]);
  await sql`
    insert into event (id, occurred_at, type, severity, outcome, source, tenant_id, user_id, actor, subject,
      client_ip, user_agent, trace_id, data)
    select * from unnest(${all('id')}::uuid[], ${all('occurredAt')}::timestamptz[], ${all('type')}::text[],
      ${all('severity')}::text[], ${all('outcome')}::text[], ${all('source')}::text[], ${all('tenantId')}::uuid[],
      ${all('userId')}::uuid[], ${all('actor')}::text[], ${all('subject')}::text[], ${all('clientIp')}::text[],
      ${all('userAgent')}::text[], ${all('traceId')}::text[], ${all('json')}::jsonb[])
    on conflict do nothing`.execute(tx);
}
