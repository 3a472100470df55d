import type { FastifyInstance } from 'fastify';
import type { Kysely } from 'kysely';
import type { Pool } from 'pg';
import type { Static, TSchema } from 'typebox';
import type { Bus } from './bus.ts';
import type { ConfigOf, Settings } from './config.ts';
import type { ConsumerDefinition } from './consume.ts';
import type { JobDefinition } from './job.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import type { Peer, Question } from './peer.ts';
import type { Component } from './questions.ts';
import type { Relay } from './relay.ts';
import type { RevocationFeed } from './revocation-feed.ts';
import type { Route } from './route.ts';
import type { Secrets } from './secrets.ts';
import type { BaseConfig } from './settings.ts';

/** What every service has at hand; built once by `run()` and closed over, never looked up. */
export interface Context<C = unknown, D = unknown> {
  readonly name: ServiceName;
  readonly config: C & BaseConfig;
  readonly db: Kysely<D>;
  /** For statements of hot paths, written as text and named. Same connections as `db`. */
  readonly pool: Pool;
  readonly log: Log;
  readonly metrics: Metrics;
  readonly peer: Peer;
  readonly bus: Bus;
  /** Poke it after a commit that appended events; forgetting costs a quarter of a second, never an event. */
  readonly relay: Relay;
  readonly feed: RevocationFeed;
  /** Keys derived from GATEHOUSE_SECRET and the ring for what is stored. */
  readonly secrets: Secrets;
}

/** The services there are. */
export const serviceNames = ['gateway', 'auth', 'token', 'nats-identity', 'audit'] as const;
export type ServiceName = (typeof serviceNames)[number];

/** How a service answers one question of its peers. */
export interface Answer<Ctx> {
  readonly question: Question;
  readonly run: (ctx: Ctx) => (body: never, traceparent: string) => Promise<unknown>;
}

/** The answer maker of one service, checked against the question's schemas. */
export function answersOf<Ctx>() {
  return <Ask extends TSchema, Reply extends TSchema>(
    question: Question<Ask, Reply>,
    run: (ctx: Ctx) => (body: Static<Ask>, traceparent: string) => Promise<Static<Reply>>,
  ): Answer<Ctx> => ({ question, run: run as Answer<Ctx>['run'] });
}

/** What an edge service (the gateway) is given beyond its context: the app that all public requests pass. */
export interface Edge {
  readonly app: FastifyInstance;
  /** Services in this process; requests for the others are passed on. */
  readonly local: readonly string[];
  /** Where the process stands: readiness says yes only while it serves. */
  readonly phase: () => 'starting' | 'serving' | 'draining';
}

/** A service is one value. */
export interface Service {
  readonly name: ServiceName;
  readonly settings: Settings;
  /** Faults of settings that do not go together, a line each. */
  readonly check: (config: never) => readonly string[];
  // The context is the service's own business; the kit hands back what `open` made.
  readonly routes: readonly Route<never>[];
  readonly answers: readonly Answer<never>[];
  readonly consumers: readonly ConsumerDefinition<never>[];
  readonly jobs: readonly JobDefinition<never>[];
  readonly open: (ctx: Context) => Promise<OpenService>;
}

/** A service that runs: its context and how it is asked, begun and ended. */
export interface OpenService {
  readonly ctx: Context;
  readonly edge?: (edge: Edge) => Promise<void>;
  readonly health?: () => Promise<Component[]>;
  readonly prepare?: () => Promise<void>;
  readonly start?: () => Promise<void>;
  /** Before the database closes. */
  readonly close?: () => Promise<void>;
}

/** What a service declares. `Own` is what it adds to its context (a hasher, the key ring, …). */
export interface ServiceSpec<S extends Settings, D, Own extends object> {
  readonly name: ServiceName;
  readonly settings: S;
  /** Faults of settings that do not go together, a line each, without their values. */
  readonly check?: (config: ConfigOf<S> & BaseConfig) => readonly string[];
  readonly routes: readonly Route<Context<ConfigOf<S>, D> & Own>[];
  readonly answers?: readonly Answer<Context<ConfigOf<S>, D> & Own>[];
  readonly consumers?: readonly ConsumerDefinition<Context<ConfigOf<S>, D> & Own>[];
  readonly jobs?: readonly JobDefinition<Context<ConfigOf<S>, D> & Own>[];
  /** Builds what the service's files share, without asking anybody: the database may not be migrated yet. */
  readonly open: (ctx: Context<ConfigOf<S>, D>) => Promise<Own>;
  readonly edge?: (ctx: Context<ConfigOf<S>, D> & Own, edge: Edge) => Promise<void>;
  readonly health?: (ctx: Context<ConfigOf<S>, D> & Own) => Promise<Component[]>;
  /**
   * Once the database is ready, before any service of the process starts: what they all stand on, such as which key
   * of the ring seals. A throw ends the process.
   */
  readonly prepare?: (ctx: Context<ConfigOf<S>, D> & Own) => Promise<void>;
  /** Once the database is ready, before the first request; must not need the bus or a peer. */
  readonly start?: (ctx: Context<ConfigOf<S>, D> & Own) => Promise<void>;
  readonly close?: (ctx: Context<ConfigOf<S>, D> & Own) => Promise<void>;
}

/** Declares a service. */
export function defineService<S extends Settings, D, Own extends object>(
  spec: ServiceSpec<S, D, Own>,
): Service {
  type Ctx = Context<ConfigOf<S>, D> & Own;
  return {
    name: spec.name,
    settings: spec.settings,
    check: (spec.check ?? (() => [])) as Service['check'],
    routes: spec.routes as unknown as readonly Route<never>[],
    answers: (spec.answers ?? []) as unknown as readonly Answer<never>[],
    consumers: (spec.consumers ?? []) as unknown as readonly ConsumerDefinition<never>[],
    jobs: (spec.jobs ?? []) as unknown as readonly JobDefinition<never>[],
    open: async (base) => {
      const given = base as unknown as Context<ConfigOf<S>, D>;
      const ctx: Ctx = Object.assign(given, await spec.open(given));
      const { edge, health, prepare, start, close } = spec;
      return {
        ctx: ctx as unknown as Context,
        ...(edge && { edge: (at: Edge) => edge(ctx, at) }),
        ...(health && { health: () => health(ctx) }),
        ...(prepare && { prepare: () => prepare(ctx) }),
        ...(start && { start: () => start(ctx) }),
        ...(close && { close: () => close(ctx) }),
      };
    },
  };
}
