import rateLimit from '@fastify/rate-limit';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { RateLimitStore } from './rate-limit-store.ts';

export * from './rate-limit-store.ts';

/** What a limiter says of one attempt. */
export interface RateVerdict {
  readonly allowed: boolean;
  readonly limit: number;
  /** Attempts left in this window. */
  readonly remaining: number;
  /** Until the window ends. */
  readonly resetSeconds: number;
}

/** So many attempts in so long a time, for one purpose. */
export interface RateRule {
  /** Such as `login`; letters, digits and `_`. Part of the key: scopes count apart. */
  readonly scope: string;
  readonly max: number;
  readonly windowSeconds: number;
}

/** Counts by a key its caller knows, where there is no request or its address is not what counts. */
export interface Limiter {
  /** Counts one attempt of this subject (an account, a client) and judges it. Never rejects. */
  consume(subject: string): Promise<RateVerdict>;
  /** The verdict the next attempt would be judged from, without counting one. */
  peek(subject: string): Promise<RateVerdict>;
  /** Sets the subject's count to zero; `here` when Redis is lost and only this process forgot it. */
  reset(subject: string): Promise<'everywhere' | 'here'>;
}

/** A limiter on the same counters as {@link requestLimiter}. */
export function createLimiter({ store, ...rule }: RateRule & { store: RateLimitStore }): Limiter {
  checkScope(rule.scope);
  const windowMs = rule.windowSeconds * 1000;
  return {
    async consume(subject) {
      const { count, ttlMs } = await store.increment(rule.scope, subject, windowMs);
      return verdictOf(rule.max, count, ttlMs);
    },
    async peek(subject) {
      const { count, ttlMs } = await store.read(rule.scope, subject);
      return { ...verdictOf(rule.max, count, ttlMs), allowed: count < rule.max };
    },
    reset: (subject) => store.reset(rule.scope, subject, windowMs),
  };
}

/** Registers @fastify/rate-limit on an app with our store; it limits nothing by itself, see {@link requestLimiter}. */
export async function registerRateLimit(app: FastifyInstance, store: RateLimitStore): Promise<void> {
  await app.register(rateLimit, {
    global: false,
    store: class extends PluginStore {
      constructor() {
        super(store);
      }
    },
  });
}

/** A limiter of requests through @fastify/rate-limit's `createRateLimit`; {@link registerRateLimit} comes first. */
export function requestLimiter(
  app: FastifyInstance,
  rule: RateRule & { readonly subjectOf: (request: FastifyRequest) => string },
): (request: FastifyRequest) => Promise<RateVerdict> {
  checkScope(rule.scope);
  const judge = app.createRateLimit({
    max: rule.max,
    timeWindow: rule.windowSeconds * 1000,
    keyGenerator: (request) => `${rule.scope}\n${rule.subjectOf(request)}`,
  });
  return async (request) => {
    const result = await judge(request);
    if (result.isAllowed) return verdictOf(rule.max, 0, 0);
    return verdictOf(
      result.max,
      result.isExceeded ? Number.POSITIVE_INFINITY : result.max - result.remaining,
      result.ttl,
    );
  };
}

/** The `RateLimit-*` headers (draft-ietf-httpapi-ratelimit-headers-07), with `Retry-After` when refused. */
export function rateLimitHeaders(verdict: RateVerdict): Record<string, string> {
  return {
    'ratelimit-limit': `${verdict.limit}`,
    'ratelimit-remaining': `${verdict.remaining}`,
    'ratelimit-reset': `${verdict.resetSeconds}`,
    ...(verdict.allowed ? {} : { 'retry-after': `${Math.max(1, verdict.resetSeconds)}` }),
  };
}

/** The plugin's store interface (callbacks, one key) over ours; the scope comes with the key, so a child is the same. */
class PluginStore {
  readonly #store: RateLimitStore;

  constructor(store: RateLimitStore) {
    this.#store = store;
  }

  incr(key: string, done: StoreCallback, timeWindow: number): void {
    const [scope, subject] = splitKey(key);
    this.#store.increment(scope, subject, timeWindow).then(
      ({ count, ttlMs }) => done(null, { current: count, ttl: ttlMs }),
      (error: Error) => done(error),
    );
  }

  read(key: string, done: StoreCallback): void {
    const [scope, subject] = splitKey(key);
    this.#store.read(scope, subject).then(
      ({ count, ttlMs }) => done(null, { current: count, ttl: ttlMs }),
      (error: Error) => done(error),
    );
  }

  child(): PluginStore {
    return this;
  }
}

type StoreCallback = (error: Error | null, result?: { current: number; ttl: number }) => void;

function splitKey(key: string): [scope: string, subject: string] {
  const end = key.indexOf('\n');
  return [key.slice(0, end), key.slice(end + 1)];
}

function checkScope(scope: string): void {
  if (!/^[a-z0-9_]+$/i.test(scope)) throw new Error('a rate-limit scope is made of letters, digits and _');
}

function verdictOf(limit: number, count: number, ttlMs: number): RateVerdict {
  return {
    allowed: count <= limit,
    limit,
    remaining: Math.max(0, limit - count),
    resetSeconds: Math.ceil(ttlMs / 1000),
  };
}
