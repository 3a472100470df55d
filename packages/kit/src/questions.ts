import Type, { type Static } from 'typebox';
import { KEY_ID_PATTERN } from './keyring.ts';
import { question } from './peer.ts';

/** What services ask each other. Each is answered by the service it names, and by nobody else. */

const nullable = Type.Union([Type.String(), Type.Null()]);

/** What token must know of a user: changes act on the next request. */
export const SubjectState = Type.Object({
  user_id: Type.String(),
  tenant_id: Type.String(),
  status: Type.Union([Type.Literal('active'), Type.Literal('locked'), Type.Literal('disabled')]),
  roles: Type.Array(Type.String()),
  version: Type.Integer(),
});
export type SubjectState = Static<typeof SubjectState>;

const TokenPair = Type.Object({
  access_token: Type.String(),
  refresh_token: Type.String(),
  expires_in: Type.Integer(),
  session_id: Type.String(),
});

/** Opens a session for somebody whose credentials auth has just checked. `stale`: the user changed meanwhile. */
export const openSession = question('token', 'open-session', {
  ask: Type.Object({
    subject: SubjectState,
    tenant_version: Type.Integer(),
    scope: Type.String(),
    client_ip: nullable,
    user_agent: nullable,
    traceparent: nullable,
  }),
  answer: Type.Union([
    Type.Object({ outcome: Type.Literal('opened'), tokens: TokenPair }),
    Type.Object({ outcome: Type.Union([Type.Literal('stale'), Type.Literal('inactive')]) }),
  ]),
});

/** Tells token the newest state of users; a status other than active ends their sessions. Older versions are ignored. */
export const putSubjects = question('token', 'put-subjects', {
  ask: Type.Object({
    subjects: Type.Array(SubjectState),
    reason: Type.String(),
    actor_id: nullable,
    traceparent: nullable,
  }),
  answer: Type.Object({ taken: Type.Integer() }),
});

/** Tells token the newest state of a tenant; disabled ends its sessions and stops new ones. */
export const putTenant = question('token', 'put-tenant', {
  ask: Type.Object({
    tenant_id: Type.String(),
    status: Type.Union([Type.Literal('active'), Type.Literal('disabled')]),
    version: Type.Integer(),
    reason: Type.String(),
    actor_id: nullable,
    traceparent: nullable,
  }),
  answer: Type.Object({ taken: Type.Integer() }),
});

/** Ends a user's sessions, all or all but one. */
export const revokeUserSessions = question('token', 'revoke-user-sessions', {
  ask: Type.Object({
    user_id: Type.String(),
    except_session: nullable,
    reason: Type.String(),
    actor_id: nullable,
    client_ip: nullable,
    user_agent: nullable,
    traceparent: nullable,
  }),
  answer: Type.Object({ count: Type.Integer() }),
});

/** Asked by a service whose revocation feed is stale: is the session alive, is the key that signed
 * its token still published, and what are its user's roles now? */
export const sessionStatus = question('token', 'session-status', {
  reads: true,
  ask: Type.Object({ session_id: Type.String(), kid: Type.String() }),
  answer: Type.Object({ active: Type.Boolean(), roles: Type.Array(Type.String()) }),
});

/** The JWKS as served, for verifiers within the platform. */
export const verificationKeys = question('token', 'verification-keys', {
  reads: true,
  ask: Type.Object({}),
  answer: Type.Object({ keys: Type.Array(Type.Record(Type.String(), Type.Unknown())) }),
});

/**
 * What became of tenants. One that nobody made is not in the answer; `deleted`: it was there, and its id is never given
 * again.
 */
export const tenantStates = question('auth', 'tenant-states', {
  reads: true,
  ask: Type.Object({ ids: Type.Array(Type.String(), { maxItems: 1000 }) }),
  answer: Type.Object({
    tenants: Type.Array(
      Type.Object({
        tenant_id: Type.String(),
        status: Type.Union([Type.Literal('active'), Type.Literal('disabled'), Type.Literal('deleted')]),
      }),
    ),
  }),
});

/** Which of these events audit has recorded: the outbox may forget them. */
export const recordedEvents = question('audit', 'recorded', {
  reads: true,
  ask: Type.Object({ ids: Type.Array(Type.String(), { maxItems: 2000 }) }),
  answer: Type.Object({ recorded: Type.Array(Type.String()) }),
});

/**
 * A process says which keys of the encryption ring it holds (an HMAC under each tells same names with other values
 * apart), and hears which key shall seal. `refused`: keys whose value is not the one that the platform knows.
 */
export const announceKeys = question('nats-identity', 'announce-keys', {
  ask: Type.Object({
    instance_id: Type.String({ format: 'uuid' }),
    service: Type.String({ maxLength: 64 }),
    wanted: Type.String({ maxLength: 32 }),
    keys: Type.Array(
      Type.Object({ id: Type.String({ pattern: KEY_ID_PATTERN }), check: Type.String({ maxLength: 64 }) }),
      { maxItems: 100 },
    ),
    /** The process ends in order: it need not be waited for any more. */
    leaving: Type.Boolean(),
  }),
  answer: Type.Object({ primary: nullable, refused: Type.Array(Type.String()) }),
});

/** Services other than nats-identity that keep records sealed under the encryption ring. */
export const sealingServices = ['token'] as const;
export type SealingService = (typeof sealingServices)[number];

/** How many sealed records a service has, by the ring key that they need. */
export const sealedRecords = (service: SealingService) =>
  question(service, 'sealed-records', {
    reads: true,
    ask: Type.Object({}),
    answer: Type.Object({ keys: Type.Record(Type.String(), Type.Integer()) }),
  });

/**
 * Puts the next sealed records of a service, those after `after` in the order of their names, under the key `to`.
 * `next`: where to go on, null at the end. `failed`: the record that does not open, after which nothing was done.
 */
export const rewrapSealed = (service: SealingService) =>
  question(service, 'rewrap-sealed', {
    ask: Type.Object({
      to: Type.String({ pattern: KEY_ID_PATTERN }),
      after: nullable,
      limit: Type.Integer({ minimum: 1, maximum: 1000 }),
    }),
    answer: Type.Object({ rewrapped: Type.Integer(), next: nullable, failed: nullable }),
  });

/** One component of the health report. */
export const Component = Type.Object({
  name: Type.String(),
  status: Type.Union([Type.Literal('healthy'), Type.Literal('degraded'), Type.Literal('unhealthy')]),
  latency_ms: Type.Number(),
  details: Type.Record(Type.String(), Type.Unknown()),
});
export type Component = Static<typeof Component>;

/** Every service answers this of itself. */
export const healthOf = (service: string) =>
  question(service, 'health', {
    reads: true,
    ask: Type.Object({}),
    answer: Type.Object({ components: Type.Array(Component) }),
  });

/** Every service answers with the OpenAPI paths of its public routes. */
export const documentOf = (service: string) =>
  question(service, 'openapi', {
    reads: true,
    ask: Type.Object({}),
    answer: Type.Object({ paths: Type.Record(Type.String(), Type.Unknown()) }),
  });

const deadLetter = {
  id: Type.String(),
  consumer: Type.String(),
  event_id: nullable,
  type: Type.String(),
  subject: Type.String(),
  reason: Type.String(),
  deliveries: Type.Integer(),
  created_at: Type.String(),
  replayed_at: nullable,
  // A release before 0012 knows none and says nothing of it.
  discarded_at: Type.Optional(nullable),
};

/** What a list of dead letters says of each. */
export const DeadLetterSummary = Type.Object(deadLetter);
export type DeadLetterSummary = Static<typeof DeadLetterSummary>;

/** A dead letter with what it holds. */
export const DeadLetterWhole = Type.Object({
  ...deadLetter,
  headers: Type.Record(Type.String(), Type.String()),
  payload: Type.String(),
});
export type DeadLetterWhole = Static<typeof DeadLetterWhole>;

/** Every service answers with the messages that its consumers gave up on, newest first. */
export const deadLettersOf = (service: string) =>
  question(service, 'dead-letters', {
    reads: true,
    ask: Type.Object({
      consumer: nullable,
      state: Type.Union([
        Type.Literal('open'),
        Type.Literal('replayed'),
        Type.Literal('discarded'),
        Type.Literal('all'),
      ]),
      before: Type.Union([Type.Object({ created_at: Type.String(), id: Type.String() }), Type.Null()]),
      limit: Type.Integer({ minimum: 1, maximum: 1000 }),
    }),
    answer: Type.Object({ items: Type.Array(DeadLetterSummary) }),
  });

/** Every service answers with one of its dead letters, or null. */
export const deadLetterOf = (service: string) =>
  question(service, 'dead-letter', {
    reads: true,
    ask: Type.Object({ id: Type.String() }),
    answer: Type.Object({ letter: Type.Union([DeadLetterWhole, Type.Null()]) }),
  });

/** Which dead letter is to be changed, by whom and why. */
export const DeadLetterChange = Type.Object({
  id: Type.String(),
  reason: Type.String(),
  actor_id: nullable,
  client_ip: nullable,
  user_agent: nullable,
  traceparent: nullable,
});
export type DeadLetterChange = Static<typeof DeadLetterChange>;

/** Puts one of a service's dead letters before its consumer again. `why`: what made it fail once more. */
export const replayDeadLetterOf = (service: string) =>
  question(service, 'replay-dead-letter', {
    ask: DeadLetterChange,
    answer: Type.Object({
      outcome: Type.Union([
        Type.Literal('replayed'),
        Type.Literal('already_replayed'),
        Type.Literal('unknown'),
        Type.Literal('unreadable'),
        Type.Literal('no_consumer'),
        Type.Literal('failed'),
      ]),
      why: nullable,
    }),
  });

/** Decides that one of a service's dead letters will never be taken. */
export const discardDeadLetterOf = (service: string) =>
  question(service, 'discard-dead-letter', {
    ask: DeadLetterChange,
    answer: Type.Object({
      outcome: Type.Union([
        Type.Literal('discarded'),
        Type.Literal('already_discarded'),
        Type.Literal('already_replayed'),
        Type.Literal('unknown'),
      ]),
    }),
  });

/** A setting as one process reads it. Of a secret only whether there is one, and the host that a URL leads to. */
export const SettingInForce = Type.Object({
  name: Type.String(),
  kind: Type.String(),
  secret: Type.Boolean(),
  default: nullable,
  set: Type.Boolean(),
  source: Type.Union([Type.Literal('default'), Type.Literal('environment'), Type.Literal('file')]),
  value: nullable,
  host: nullable,
});
export type SettingInForce = Static<typeof SettingInForce>;

/** Every service answers with the settings that its process reads for it. */
export const settingsOf = (service: string) =>
  question(service, 'settings', {
    reads: true,
    ask: Type.Object({}),
    answer: Type.Object({ settings: Type.Array(SettingInForce) }),
  });

/**
 * Forgets how often an account tried to sign in. `off`: nothing is counted; `here`: only the process that answers has
 * forgotten, others count for themselves.
 */
export const resetAccountLimit = question('auth', 'reset-account-limit', {
  ask: Type.Object({
    /** By id, or by address and tenant: an address that nobody has is counted as well. */
    account: Type.Union([
      Type.Object({ user_id: Type.String() }),
      Type.Object({ email: Type.String(), tenant_id: nullable }),
    ]),
    reason: Type.String(),
    actor_id: nullable,
    client_ip: nullable,
    user_agent: nullable,
    traceparent: nullable,
  }),
  answer: Type.Object({
    outcome: Type.Union([
      Type.Literal('everywhere'),
      Type.Literal('here'),
      Type.Literal('off'),
      Type.Literal('unknown'),
      Type.Literal('invalid_email'),
    ]),
  }),
});
