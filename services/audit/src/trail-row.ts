import { randomFillSync } from 'node:crypto';
import { contentHash, personalDigest } from '@gatehouse/audit-chain';
import { definitionOf, personalFields } from '@gatehouse/events';
import { type IncomingEvent, isUuid, traceIdOf } from '@gatehouse/kit';

/** The chain of what belongs to no tenant. */
export const PLATFORM_CHAIN = 'platform';

type Fields = Readonly<Record<string, unknown>>;

/** A row of the trail before it has its place in a chain. */
export interface TrailRow {
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
  readonly data: Fields;
  readonly personal: Personal | undefined;
  readonly contentHash: Buffer;
}

/** What may be erased, and what stands for it in the chain. */
interface Personal {
  readonly fields: Fields;
  readonly salt: Buffer;
  readonly digest: Buffer;
}

/** The row of an event. @throws when its time is none: it then becomes a dead letter. */
export function rowOf(event: IncomingEvent): TrailRow {
  const occurredAt = new Date(event.time);
  if (Number.isNaN(occurredAt.getTime())) throw new Error('ce-time is not a time');
  const definition = definitionOf(event.type);
  const { data } = event;
  const tenantId = uuidOf(event.tenantId) ?? uuidOf(data.tenant_id);
  const userId = uuidOf(data.user_id);
  return hashed({
    chain: tenantId ?? PLATFORM_CHAIN,
    id: event.id,
    occurredAt,
    type: event.type,
    severity: definition?.severity ?? 'info',
    outcome: definition?.outcome ?? null,
    source: event.source,
    tenantId,
    userId,
    // Of an administrator's change user_id is whom it concerns; null says the command line or the schedule did it.
    actor: 'actor_id' in data ? (uuidOf(data.actor_id) ?? textOf(data.actor_id)) : userId,
    subject: event.subject === '' ? null : event.subject,
    traceId: textOf(data.trace_id) ?? traceIdOf(event.traceparent),
    data,
  });
}

/**
 * Sets the personal fields apart and hashes the rest. What is hashed is what the database will give back: ids in lower
 * case, times in milliseconds, and JSON whose numbers are doubles (jsonb keeps each of them exactly).
 */
export function hashed(row: Omit<TrailRow, 'personal' | 'contentHash'>): TrailRow {
  const { data, personal } = split(row.data);
  const { id, type, severity, outcome, source, actor, subject } = row;
  return {
    ...row,
    data,
    personal,
    contentHash: contentHash({
      ...{ id, type, severity, outcome, source, actor, subject, data },
      occurred_at: row.occurredAt.toISOString(),
      tenant_id: row.tenantId,
      user_id: row.userId,
      trace_id: row.traceId,
      personal: personal?.digest.toString('hex') ?? null,
    }),
  };
}

function split(all: Fields): Pick<TrailRow, 'data' | 'personal'> {
  const entries = Object.entries(all);
  const found = entries.filter(([name, value]) => personalFields.has(name) && value !== null);
  if (found.length === 0) return { data: all, personal: undefined };
  const salt = newSalt();
  const fields = Object.fromEntries(found);
  const data = Object.fromEntries(entries.filter(([name]) => !Object.hasOwn(fields, name)));
  return { data, personal: { fields, salt, digest: personalDigest(salt, fields) } };
}

const SALT_BYTES = 16;
let salts = Buffer.alloc(0);

// One call to the system's randomness serves 256 rows; no part of it is given out twice.
function newSalt(): Buffer {
  if (salts.length === 0) salts = randomFillSync(Buffer.alloc(256 * SALT_BYTES));
  const salt = salts.subarray(0, SALT_BYTES);
  salts = salts.subarray(SALT_BYTES);
  return salt;
}

const textOf = (value: unknown): string | null => (typeof value === 'string' ? value : null);
const uuidOf = (value: unknown): string | null =>
  typeof value === 'string' && isUuid(value) ? value.toLowerCase() : null;
