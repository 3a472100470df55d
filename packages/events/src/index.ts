import { adminEvents } from './admin.ts';
import { auditEvents } from './audit.ts';
import { authEvents } from './auth.ts';
import type { DataOf, EventDefinition } from './event.ts';
import { natsidEvents } from './natsid.ts';
import { securityEvents } from './security.ts';
import { sessionEvents } from './session.ts';
import { tokenEvents } from './token.ts';

export { type DataOf, type EventDefinition, type Outcome, personalFields, type Severity } from './event.ts';

/** Every kind of event there is, in the order of docs/events.md. */
export const catalogue = [
  ...authEvents,
  ...sessionEvents,
  ...securityEvents,
  ...tokenEvents,
  ...adminEvents,
  ...natsidEvents,
  ...auditEvents,
] as const;

type Definitions = (typeof catalogue)[number];

/** The type (and NATS subject) of an event. */
export type EventType = Definitions['type'];

/** The data that an event of type `T` carries besides the common fields. */
export type EventData<T extends EventType> = DataOf<Extract<Definitions, { type: T }>>;

const byType = new Map<string, EventDefinition>(catalogue.map((one) => [one.type, one]));

/** The definition of a type, or undefined when this release does not know it. */
export function definitionOf(type: string): EventDefinition | undefined {
  return byType.get(type);
}

/** Subjects that the event stream captures: one wildcard a domain. */
export const eventSubjects = [
  'auth.>',
  'session.>',
  'security.>',
  'token.>',
  'natsid.>',
  'admin.>',
  'audit.>',
] as const;
