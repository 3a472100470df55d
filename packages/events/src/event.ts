import Type, { type Static, type TObject, type TProperties } from 'typebox';

/** How grave an event is, in the order that alerts use. */
export type Severity = 'info' | 'notice' | 'warning' | 'critical';

/** Whether what the event tells of went through; `unknown` is for events that are neither. */
export type Outcome = 'success' | 'failure' | 'unknown';

/** One kind of event: what its type is called, how grave it is, and what its data looks like. */
export interface EventDefinition<T extends string = string, D extends TObject = TObject> {
  /** Type and NATS subject at once, e.g. `auth.login.success`. */
  readonly type: T;
  readonly severity: Severity;
  readonly outcome: Outcome;
  /** One sentence for docs/events.md and AsyncAPI. */
  readonly summary: string;
  /** The payload besides the common fields (`tenant_id`, `trace_id`, `occurred_at`). */
  readonly data: D;
}

/** Who did it and from where; part of every event in which a person acts. */
export const acting = {
  user_id: Type.Union([Type.String(), Type.Null()]),
  client_ip: Type.Union([Type.String(), Type.Null()]),
  user_agent: Type.Union([Type.String(), Type.Null()]),
};

/** Fields of an administrator's change: who changed it and why. */
export const administered = {
  actor_id: Type.Union([Type.String(), Type.Null()]),
  reason: Type.String(),
  client_ip: Type.Union([Type.String(), Type.Null()]),
  user_agent: Type.Union([Type.String(), Type.Null()]),
};

/**
 * Fields of payloads that tell of a person's whereabouts or contact: the audit keeps them apart, so that they can be
 * erased without breaking its chains.
 */
export const personalFields: ReadonlySet<string> = new Set([
  'client_ip',
  'user_agent',
  'email',
  'address',
  'first_used_by',
]);

/** Declares one kind of event. */
export function event<T extends string, P extends TProperties>(
  type: T,
  about: { severity: Severity; outcome: Outcome; summary: string },
  properties: P,
): EventDefinition<T, TObject<P>> {
  return { type, ...about, data: Type.Object(properties) };
}

/** The data type of an event definition. */
export type DataOf<E> = E extends EventDefinition<string, infer D> ? Static<D> : never;
