import { randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import { contentHash, personalDigest } from '@gatehouse/audit-chain';
import { definitionOf, eventSubjects, personalFields } from '@gatehouse/events';
import { consumer, type IncomingEvent, isUuid, traceIdOf } from '@gatehouse/kit';
import type { AuditDatabase } from '@gatehouse/schema';
import { sql, type Transaction } from 'kysely';
import type { AuditContext } from './context.ts';
import { ensureMonths, type KnownMonths } from './partitions.ts';

/** The chain of what belongs to no tenant. */
export const PLATFORM_CHAIN = 'platform';

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
      await ensureMonths(tx, [new Date()], known);
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
const lineOf = ({ type, severity, tenantId, userId, personal, traceId }: Row) => ({
  event: type,
  severity,
  tenant_id: tenantId,
  user_id: userId,
  client_ip: personal?.fields.client_ip ?? null,
  user_agent: personal?.fields.user_agent ?? null,
  trace_id: traceId,
});

interface Row {
  readonly chain: string;
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
  readonly traceId: string | null;
  /** The payload without its personal fields. */
  readonly data: Readonly<Record<string, unknown>>;
  readonly personal: Personal | undefined;
  readonly contentHash: Buffer;
}

/** What may be erased, and what stands for it in the chain. */
interface Personal {
  readonly fields: Readonly<Record<string, unknown>>;
  readonly salt: Buffer;
  readonly digest: Buffer;
}

/** The row of an event. @throws when its time is none: it then becomes a dead letter. */
export function rowOf(event: IncomingEvent): Row {
  const occurredAt = new Date(event.time);
  if (Number.isNaN(occurredAt.getTime())) throw new Error('ce-time is not a time');
  const definition = definitionOf(event.type);
  const { data, personal } = split(event.data);
  const tenantId = uuidOf(event.tenantId) ?? uuidOf(event.data.tenant_id);
  const userId = uuidOf(event.data.user_id);
  const about = {
    id: event.id,
    type: event.type,
    source: event.source,
    data,
  };
  const traceId = textOf(data.trace_id) ?? traceIdOf(event.traceparent);
  return {
    ...about,
    chain: tenantId ?? PLATFORM_CHAIN,
    occurredAt,
    severity: definition?.severity ?? 'info',
    outcome: definition?.outcome ?? null,
    tenantId,
    userId,
    // Of an administrator's change user_id is whom it concerns; null says the command line or the schedule did it.
    actor: 'actor_id' in data ? textOf(data.actor_id) : userId,
    subject: event.subject === '' ? null : event.subject,
    traceId,
    personal,
    contentHash: contentHash({
      ...about,
      occurred_at: occurredAt.toISOString(),
      tenant_id: tenantId,
      trace_id: traceId,
      personal: personal?.digest.toString('hex') ?? null,
    }),
  };
}

function split(all: Readonly<Record<string, unknown>>): Pick<Row, 'data' | 'personal'> {
  const entries = Object.entries(all);
  const fields = entries.filter(([name, value]) => personalFields.has(name) && value !== null);
  if (fields.length === 0) return { data: all, personal: undefined };
  const salt = randomBytes(16);
  const personal = Object.fromEntries(fields);
  const data = Object.fromEntries(entries.filter(([name]) => !(name in personal)));
  return { data, personal: { fields: personal, salt, digest: personalDigest(salt, personal) } };
}

const textOf = (value: unknown): string | null => (typeof value === 'string' ? value : null);
const uuidOf = (value: unknown): string | null => (typeof value === 'string' && isUuid(value) ? value : null);
const addressOf = (value: unknown): string | null =>
  typeof value === 'string' && isIP(value) !== 0 && !value.includes('%') ? value : null;

// The inbox has already left out what was recorded before.
async function insert(tx: Transaction<AuditDatabase>, rows: readonly Row[]): Promise<void> {
  const all = <T>(of: (row: Row) => T): T[] => rows.map(of);
  await sql`
    select chain, sequence, hash from audit.append(${all(({ chain }) => chain)}::text[], ${all(({ id }) => id)}::uuid[],
      ${all(({ occurredAt }) => occurredAt)}::timestamptz[], ${all(({ type }) => type)}::text[],
      ${all(({ severity }) => severity)}::text[], ${all(({ outcome }) => outcome)}::text[],
      ${all(({ source }) => source)}::text[], ${all(({ tenantId }) => tenantId)}::uuid[],
      ${all(({ userId }) => userId)}::uuid[], ${all(({ actor }) => actor)}::text[],
      ${all(({ subject }) => subject)}::text[], ${all(({ traceId }) => traceId)}::text[],
      ${all(({ data }) => JSON.stringify(data))}::jsonb[], ${all(({ personal }) => addressOf(personal?.fields.client_ip))}::inet[],
      ${all(({ personal }) => (personal === undefined ? null : JSON.stringify(personal.fields)))}::jsonb[],
      ${all(({ personal }) => personal?.salt ?? null)}::bytea[], ${all(({ personal }) => personal?.digest ?? null)}::bytea[],
      ${all(({ contentHash: hash }) => hash)}::bytea[])`.execute(tx);
}
