import type { RoleTemplate } from './claims.ts';
import { completeRoleTemplate } from './complete-claims.ts';

/** Processes that have a user of their own on the platform's bus; `all-in-one` is all services in one process. */
export const busServices = ['gateway', 'auth', 'token', 'audit', 'nats-identity', 'all-in-one'] as const;
export type BusService = (typeof busServices)[number];

/** The stream of every event of the catalogue. */
export const eventStream = 'GATEHOUSE_EVENTS';
/** The stream of revocation entries: as old as an access token can become, and no older. */
export const revocationStream = 'GATEHOUSE_REVOCATIONS';
/** Subject of a revocation entry. */
export const revocationSubject = 'revocation.entry';
/** Core NATS, in no stream: "all revocations committed until half a second ago are in the stream up to `seq`". */
export const heartbeatSubject = 'revocation-heartbeat';

/** What one service does on the bus beyond what all do. */
interface BusUse {
  /** Subjects that it publishes: its events, and the feed that it writes. */
  readonly publishes: readonly string[];
  /** Durable consumers of the event stream that it follows. */
  readonly follows?: readonly string[];
  /** Whether it makes the two streams and keeps them up to date; the others wait for them. */
  readonly managesStreams?: true;
}

/**
 * The one table of who may say what on the platform's bus. A domain of events that belongs to one service stands as a
 * wildcard, so that a new event needs no new right; in a shared domain each has its part. The house tests hold it
 * against the events that the sources append.
 */
const uses: Readonly<Record<Exclude<BusService, 'all-in-one'>, BusUse>> = {
  gateway: { publishes: ['security.rate_limited', 'security.rate_limit_store', 'admin.rate_limit.reset'] },
  auth: {
    publishes: [
      'auth.>',
      'admin.break_glass',
      'admin.tenant.>',
      'admin.user.>',
      'admin.rate_limit.reset',
      'security.rate_limited',
    ],
  },
  token: {
    publishes: [
      'session.>',
      'token.>',
      'admin.sessions.>',
      'security.refresh_replay_detected',
      revocationSubject,
      heartbeatSubject,
    ],
    managesStreams: true,
  },
  audit: { publishes: ['audit.>'], follows: ['audit-record'], managesStreams: true },
  'nats-identity': { publishes: ['natsid.>'] },
};

/** Events that the kit writes for every service: whoever owns a dead letter tells what became of it. */
export const busSubjectsOfAll = ['admin.dead_letter.replayed', 'admin.dead_letter.discarded'] as const;

/** Whether a process of that name may make the streams of the bus. */
export function managesBusStreams(service: BusService): boolean {
  return service === 'all-in-one' || uses[service].managesStreams === true;
}

/** Where answers to a process of that name come: an inbox that no other service may listen to. */
export const busInboxPrefix = (service: string): string => `_INBOX_${service}`;

/** Subjects of events and feed that a process of that name may publish. */
export function busSubjects(service: BusService): string[] {
  const of = service === 'all-in-one' ? Object.values(uses) : [uses[service]];
  return [...new Set([...busSubjectsOfAll, ...of.flatMap(({ publishes }) => publishes)])].sort();
}

/** What a process of that name may do on the bus: all that it needs, and nothing else. */
export function busTemplate(service: BusService): RoleTemplate {
  const of = service === 'all-in-one' ? Object.values(uses) : [uses[service]];
  const publish = [
    ...busSubjects(service),
    ...readingSubjects,
    ...of.flatMap(({ follows = [] }) => follows.flatMap(followingSubjects)),
    ...(managesBusStreams(service) ? managingSubjects : []),
  ];
  return completeRoleTemplate({
    pub: { allow: [...new Set(publish)].sort() },
    sub: { allow: [heartbeatSubject, `${busInboxPrefix(service)}.>`] },
    allowed_connection_types: ['STANDARD'],
  });
}

/** Every process looks at both streams, and reads the revocations with consumers that live as long as it reads. */
const readingSubjects = [
  `$JS.API.STREAM.INFO.${eventStream}`,
  `$JS.API.STREAM.INFO.${revocationStream}`,
  // How far audit has come, before an outbox publishes again what audit seems to lack.
  `$JS.API.CONSUMER.LIST.${eventStream}`,
  `$JS.API.CONSUMER.CREATE.${revocationStream}`,
  `$JS.API.CONSUMER.INFO.${revocationStream}.*`,
  `$JS.API.CONSUMER.DELETE.${revocationStream}.*`,
  `$JS.API.CONSUMER.MSG.NEXT.${revocationStream}.*`,
];

const managingSubjects = [eventStream, revocationStream].flatMap((stream) => [
  `$JS.API.STREAM.CREATE.${stream}`,
  `$JS.API.STREAM.UPDATE.${stream}`,
]);

const followingSubjects = (consumer: string) => [
  // With one filter its subject is part of the request's; with several it stands in the body.
  `$JS.API.CONSUMER.CREATE.${eventStream}.${consumer}`,
  `$JS.API.CONSUMER.CREATE.${eventStream}.${consumer}.>`,
  `$JS.API.CONSUMER.DURABLE.CREATE.${eventStream}.${consumer}`,
  `$JS.API.CONSUMER.INFO.${eventStream}.${consumer}`,
  `$JS.API.CONSUMER.MSG.NEXT.${eventStream}.${consumer}`,
  // Acknowledgements, in the form of today and in the one with domain and account before the stream (ADR-15).
  `$JS.ACK.${eventStream}.${consumer}.>`,
  `$JS.ACK.*.*.${eventStream}.${consumer}.>`,
];
