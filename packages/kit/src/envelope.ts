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
  const headers = message.headers;
  if (headers === undefined) throw new Malformed('the message has no headers');
  const id = headers.get('ce-id');
  const type = headers.get('ce-type');
  if (!isUuid(id)) throw new Malformed('ce-id is not a UUID');
  if (type === '') throw new Malformed('ce-type is missing');
  const json = Buffer.from(message.data).toString();
  const data = parseObject(json);
  const tenantId = headers.get('ce-tenantid');
  const traceparent = headers.get('traceparent') || headers.get('ce-traceparent');
  return {
    id: id.toLowerCase(),
    type,
    source: headers.get('ce-source'),
    time: headers.get('ce-time') || message.timestamp,
    tenantId: tenantId === '' ? null : tenantId,
    traceparent: traceparent === '' ? null : traceparent,
    subject: headers.get('ce-subject'),
    sequence: Number(headers.get('ce-sequence')) || 0,
    data,
    json,
    deliveries: message.info.deliveryCount,
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
