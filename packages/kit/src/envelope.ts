import type { JsMsg } from '@nats-io/jetstream';
import { isUuid } from './id.ts';

/** An event as a consumer gets it. */
export interface IncomingEvent {
  readonly id: string;
  /** May be one that this release does not know. */
  readonly type: string;
  /** CloudEvents source, e.g. `/gatehouse/token`. */
  readonly source: string;
  /** When it happened (RFC 3339). */
  readonly time: string;
  readonly tenantId: string | null;
  readonly traceparent: string | null;
  /** What it is about: its aggregate, e.g. `session:<uuid>`. */
  readonly subject: string;
  /** Orders the events of one source; 0 when the producer gave none. */
  readonly sequence: number;
  /** The payload: the event's own data and `tenant_id`, `trace_id`, `occurred_at`. */
  readonly data: Readonly<Record<string, unknown>>;
  /** The payload as it came, for those who pass it on without looking into it. */
  readonly json: string;
  /** 1 at the first delivery. */
  readonly deliveries: number;
}

/** A message that is no event: it can never be handled. */
export class Malformed extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'Malformed';
  }
}

/** Reads a message (CloudEvents 1.0, NATS binding, binary mode). @throws Malformed */
export function readEvent(message: JsMsg): IncomingEvent {
  const { headers } = message;
  if (headers === undefined) throw new Malformed('the message has no headers');
  return eventOf({
    header: (name) => headers.get(name),
    payload: message.data,
    arrivedAt: message.timestamp,
    deliveries: message.info.deliveryCount,
  });
}

/** A message as a dead letter keeps it. */
export interface KeptMessage {
  readonly headers: Readonly<Record<string, string>>;
  readonly payload: Uint8Array;
  readonly deliveries: number;
  readonly created_at: Date;
}

/** Reads a message that a dead letter kept, as {@link readEvent} would. @throws Malformed */
export function readKept({
  headers,
  payload,
  deliveries,
  created_at: createdAt,
}: KeptMessage): IncomingEvent {
  const named = new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
  return eventOf({
    header: (name) => named.get(name) ?? '',
    payload,
    arrivedAt: createdAt.toISOString(),
    deliveries: deliveries + 1,
  });
}

interface Arrived {
  /** The value of a header, empty when there is none. */
  readonly header: (name: string) => string;
  readonly payload: Uint8Array;
  readonly arrivedAt: string;
  readonly deliveries: number;
}

function eventOf({ header, payload, arrivedAt, deliveries }: Arrived): IncomingEvent {
  const id = header('ce-id');
  const type = header('ce-type');
  if (!isUuid(id)) throw new Malformed('ce-id is not a UUID');
  if (type === '') throw new Malformed('ce-type is missing');
  const json = Buffer.from(payload).toString();
  const data = parseObject(json);
  const tenantId = header('ce-tenantid');
  const traceparent = header('traceparent') || header('ce-traceparent');
  return {
    id: id.toLowerCase(),
    type,
    source: header('ce-source'),
    time: header('ce-time') || arrivedAt,
    tenantId: tenantId === '' ? null : tenantId,
    traceparent: traceparent === '' ? null : traceparent,
    subject: header('ce-subject'),
    sequence: Number(header('ce-sequence')) || 0,
    data,
    json,
    deliveries,
  };
}

function parseObject(json: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    throw new Malformed('the payload is not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Malformed('the payload is not a JSON object');
  return value as Record<string, unknown>;
}
