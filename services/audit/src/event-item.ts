import { definitionOf, personalFields } from '@gatehouse/events';
import { Time } from '@gatehouse/kit';
import type { AuditDatabase } from '@gatehouse/schema';
import type { Selectable } from 'kysely';
import Type, { type Static } from 'typebox';

const nullable = Type.Union([Type.String(), Type.Null()]);

/** An event of the trail as answers carry it. */
export const EventItem = Type.Object({
  id: Type.String(),
  type: Type.String(),
  severity: Type.String(),
  outcome: nullable,
  occurred_at: Time,
  recorded_at: Time,
  tenant_id: nullable,
  user_id: nullable,
  actor: nullable,
  subject: nullable,
  client_ip: nullable,
  user_agent: nullable,
  trace_id: nullable,
  source: Type.String(),
  data: Type.Record(Type.String(), Type.Unknown(), { description: 'The payload as the catalogue says.' }),
});

/** A row of the trail as read. */
export type EventRow = Selectable<AuditDatabase['event']>;

/** The item of a row; what was personal and has been erased is null. */
export function itemOf(row: EventRow): Static<typeof EventItem> {
  const { personal } = row;
  const userAgent = personal?.user_agent;
  return {
    ...row,
    data: { ...row.data, ...(personal ?? erasedOf(row)) },
    client_ip: row.client_ip,
    user_agent: typeof userAgent === 'string' ? userAgent : null,
    occurred_at: row.occurred_at.toISOString(),
    recorded_at: row.recorded_at.toISOString(),
  };
}

/** The personal fields that the catalogue knows of an event whose own were erased: there, and nothing in them. */
function erasedOf({ type, data, personal_digest: digest }: EventRow): Record<string, null> {
  if (digest === null) return {};
  const known = Object.keys(definitionOf(type)?.data.properties ?? {});
  const erased = known.filter((name) => personalFields.has(name) && !(name in data));
  return Object.fromEntries(erased.map((name) => [name, null]));
}
