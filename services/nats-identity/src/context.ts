import { answersOf, type Context, type JobDefinition, type Route, routesOf } from '@gatehouse/kit';
import type { NatsidDatabase } from '@gatehouse/schema';
import type { Transaction } from 'kysely';
import type { NatsIdentityConfig } from './settings.ts';

/** Brings clusters to what the database says. */
export interface Reconciler {
  /** Says that something wanted of clusters was committed. Costs nothing; forgetting it costs a quarter of a second. */
  poke(): void;
  /** Clusters whose lease this process has: what else is done by one process for a cluster goes by it. */
  serving(): readonly { readonly id: string; readonly revision: number }[];
  start(): void;
  /** Ends after what is under way, and lets go of every lease. */
  stop(): Promise<void>;
}

/** Watches which credentials are at work, on the clusters that this process serves. */
export interface LastSeenWatch {
  start(): void;
  /** Writes down what was seen, and ends. */
  stop(): Promise<void>;
}

/** What the use cases of this service share beyond the kit's context. */
export interface NatsIdentityParts {
  readonly reconciler: Reconciler;
  readonly lastSeen: LastSeenWatch;
}

export type NatsIdentityBase = Context<NatsIdentityConfig, NatsidDatabase>;
export type NatsIdentityContext = NatsIdentityBase & NatsIdentityParts;
export type NatsidTransaction = Transaction<NatsidDatabase>;
export type NatsIdentityJob = JobDefinition<NatsIdentityContext>;
export type NatsIdentityRoute = Route<NatsIdentityContext>;

export const route = routesOf<NatsIdentityContext>();
export const answer = answersOf<NatsIdentityContext>();
