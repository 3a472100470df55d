import { catalogue, type EventDefinition } from '@gatehouse/events';
import { version } from './health.ts';

const text = (description: string, example?: string) => ({
  type: 'string',
  description,
  ...(example === undefined ? {} : { examples: [example] }),
});

/** CloudEvents 1.0, binary mode of the NATS protocol binding: the envelope is in the headers of the message. */
const headers = {
  type: 'object',
  required: ['ce-specversion', 'ce-id', 'ce-type', 'ce-source', 'ce-time', 'Nats-Msg-Id'],
  properties: {
    'ce-specversion': { type: 'string', const: '1.0' },
    'ce-id': { ...text('UUID v7; the same at every redelivery.'), format: 'uuid' },
    'ce-type': text('Type of the event; the subject says the same.', 'auth.login.success'),
    'ce-source': text('The service that wrote it.', '/gatehouse/auth'),
    'ce-time': { ...text('When it happened.'), format: 'date-time' },
    'ce-subject': text('What it is about.', 'user:0198c5f0-0000-7000-8000-000000000000'),
    'ce-sequence': text('Orders the events of one source; may have gaps.', '42'),
    'ce-tenantid': { ...text('Tenant, when it concerns one.'), format: 'uuid' },
    'ce-traceparent': text('W3C Trace Context of the request that caused it; traceparent says it again.'),
    traceparent: text('For libraries that look for it here.'),
    'content-type': { type: 'string', const: 'application/json' },
    'Nats-Msg-Id': text('ce-id again, by which JetStream drops what was published twice.'),
  },
} as const;

const common = {
  tenant_id: { type: ['string', 'null'], description: 'Tenant, or null when it concerns none.' },
  trace_id: { type: ['string', 'null'], description: 'Trace of the request that caused it.' },
  occurred_at: { type: 'string', format: 'date-time', description: 'RFC 3339, UTC.' },
} as const;

/** The events as AsyncAPI 3, made from the catalogue. */
export function asyncApiDocument(
  definitions: readonly EventDefinition[] = catalogue,
): Record<string, unknown> {
  const name = (type: string) => type.replaceAll('.', '_');
  const each = <T>(make: (one: EventDefinition) => T): Record<string, T> =>
    Object.fromEntries(definitions.map((one) => [name(one.type), make(one)]));
  return {
    asyncapi: '3.0.0',
    info: {
      title: 'Gatehouse events',
      version,
      description:
        'Each event is written in the transaction of the change that it tells of, delivered at least once, and takes effect once a consumer (by ce-id).',
      license: { name: 'Apache-2.0' },
    },
    defaultContentType: 'application/json',
    channels: each((one) => ({
      address: one.type,
      summary: one.summary,
      description: 'In the stream GATEHOUSE_EVENTS.',
      messages: { event: { $ref: `#/components/messages/${name(one.type)}` } },
    })),
    operations: each((one) => ({
      action: 'send',
      summary: one.summary,
      channel: { $ref: `#/channels/${name(one.type)}` },
      messages: [{ $ref: `#/channels/${name(one.type)}/messages/event` }],
    })),
    components: { messages: each(messageOf) },
  };
}

function messageOf(one: EventDefinition): Record<string, unknown> {
  const properties = { ...common, ...one.data.properties };
  return {
    name: one.type,
    title: one.type,
    summary: one.summary,
    contentType: 'application/json',
    headers,
    payload: { type: 'object', required: Object.keys(properties), properties },
    tags: [{ name: `severity:${one.severity}` }, { name: `outcome:${one.outcome}` }],
  };
}
