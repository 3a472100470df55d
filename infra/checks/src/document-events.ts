import { catalogue, type EventDefinition } from '@gatehouse/events';
import { code, page, table } from './markdown.ts';

const introduction = `
Everything that Gatehouse tells of itself. Each event is written in the same transaction as the change it tells of,
goes over NATS JetStream on the subject that is its type (stream \`GATEHOUSE_EVENTS\`), and ends as a row of the audit
(\`GET /api/audit/events\`). Delivery is at least once; a consumer of the kit takes effect once, by the event's id.

The envelope is CloudEvents 1.0 in binary mode: \`ce-id\` (UUID v7, also \`Nats-Msg-Id\`), \`ce-type\`, \`ce-source\`,
\`ce-time\` and the rest are message headers; the payload is plain JSON. The same catalogue as AsyncAPI 3 is at
\`/asyncapi.json\` of a running gateway.

Every payload carries \`tenant_id\`, \`trace_id\` and \`occurred_at\` besides the fields listed with its type.
Fields that may be null say so: \`user_id\` is null when the account is not known.
`;

interface Schema {
  readonly type?: string;
  readonly const?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly items?: Schema;
  readonly patternProperties?: Readonly<Record<string, Schema>>;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
}

/** The shape of a field in words, e.g. `string or null`. */
export function shapeOf(schema: Schema): string {
  if (schema.anyOf) return schema.anyOf.map(shapeOf).join(' or ');
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.type === 'array') return `list of ${shapeOf(schema.items ?? {})}`;
  const [member] = Object.values(schema.patternProperties ?? {});
  if (member) return `object of ${shapeOf(member)}`;
  return schema.type ?? 'anything';
}

function fieldsOf(definition: EventDefinition): string {
  const { properties = {}, required = [] } = definition.data as unknown as Schema;
  const rows = Object.entries(properties).map(([name, schema]) => [
    code(name),
    shapeOf(schema),
    required.includes(name) ? '' : 'may be missing',
  ]);
  return table(['Field', 'Value', ''], rows);
}

/** docs/events.md. */
export function eventsPage(): string {
  const definitions: readonly EventDefinition[] = catalogue;
  const overview = table(
    ['Type', 'Severity', 'Outcome', 'What happened'],
    definitions.map(({ type, severity, outcome, summary }) => [code(type), severity, outcome, summary]),
  );
  const parts = definitions.map((one) => `### ${one.type}\n\n${one.summary}\n\n${fieldsOf(one)}`);
  return page('Events', introduction, ['## All types', overview, '## Fields', ...parts]);
}
