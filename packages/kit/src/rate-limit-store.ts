import { LRUCache } from 'lru-cache';
import type { NoteCertificate } from './certificates.ts';
import { hmacSha256 } from './hmac.ts';
import { connectRateLimitRedis, type RateLimitRedis } from './rate-limit-redis.ts';

/** Attempts counted in the present window. */
export interface RateCount {
  /** This one included. */
  readonly count: number;
  /** Until the window ends and the count starts again, in ms. */
  readonly ttlMs: number;
}

export interface RateLimitStoreOptions {
  /** `redis://` or `rediss://`; without it counting is in this process's memory alone. */
  readonly redisUrl?: string | undefined;
  /** Subjects (addresses, accounts) are stored as an HMAC under this key: Redis never holds an e-mail address. */
  readonly hashKey: Uint8Array;
  /** Prefix of all keys in Redis; default `gatehouse:rl:`. */
  readonly keyPrefix?: string;
  /** An answer later than this counts as lost, in ms; default 100. */
  readonly deadlineMs?: number;
  /** Most subjects kept in memory, the least recently seen leave first; default 100,000 (about 20 MB when full). */
  readonly memoryEntriesMax?: number;
  /** Redis was lost, or is back: once an episode, for one log line and one event. */
  readonly onEpisode?: (kind: 'lost' | 'recovered', detail: RateLimitEpisode) => void;
  /** Hears of the certificate of a `rediss://` Redis. */
  readonly onCertificate?: NoteCertificate;
}

export interface RateLimitEpisode {
  /** Why it was lost; never holds the URL. */
  readonly reason: string;
  /** How long it lasted, in seconds; 0 at the beginning. */
  readonly seconds: number;
}

/** Where the counting happens at the moment. `memory` is by choice, `lost` is not (health: degraded). */
export type RateLimitStatus = 'memory' | 'connecting' | 'redis' | 'lost';

/** Fixed-window counters in Redis with a mirror in memory. Made by {@link createRateLimitStore}. */
export interface RateLimitStore {
  /** Counts one attempt. Never rejects and never takes longer than the deadline. */
  increment(scope: string, subject: string, windowMs: number): Promise<RateCount>;
  /** The count so far, without adding to it (0 when there is no window open). */
  read(scope: string, subject: string): Promise<RateCount>;
  /**
   * Sets a count to zero; other processes follow at their next attempt. `here` when Redis is lost: then only this
   * process forgot it.
   */
  reset(scope: string, subject: string, windowMs: number): Promise<'everywhere' | 'here'>;
  readonly status: RateLimitStatus;
  /** Resolves when it is known whether Redis is there, or after the time given (in ms; default 1,000); never rejects. */
  ready(waitMs?: number): Promise<void>;
  close(): Promise<void>;
}

/** What is remembered of a subject. Times are of the monotonic clock: a step of the wall clock opens nothing. */
interface Mirror {
  count: number;
  endsAt: number;
  /** Id of the last reset this count already follows. */
  resetId: string;
}

/**
 * Every attempt is counted in memory as well, and what Redis knows is copied there, so that losing Redis continues the
 * count at the same limit; what memory knows is told to Redis with each attempt, so that an emptied Redis is filled
 * again. The higher of the two counts. It never opens and never starts again from zero. (attacks.md hard case 13)
 *
 * @throws Error when `redisUrl` is not a Redis URL; an unreachable Redis is an episode, not an error.
 */
export function createRateLimitStore(options: RateLimitStoreOptions): RateLimitStore {
  const mirrors = new LRUCache<string, Mirror>({ max: options.memoryEntriesMax ?? 100_000 });
  const mac = hmacSha256(options.hashKey);
  const prefix = options.keyPrefix ?? 'gatehouse:rl:';
  const redis: RateLimitRedis | undefined = options.redisUrl
    ? connectRateLimitRedis({
        url: options.redisUrl,
        probeKey: `${prefix}probe`,
        deadlineMs: options.deadlineMs ?? 100,
        onEpisode: options.onEpisode,
        onCertificate: options.onCertificate,
      })
    : undefined;

  function keyOf(scope: string, subject: string): string {
    return `${prefix}${scope}:${mac(`${scope}\n${subject}`).slice(0, 22)}`;
  }

  function current(key: string, now: number): Mirror | undefined {
    const mirror = mirrors.get(key);
    return mirror && mirror.endsAt > now ? mirror : undefined;
  }

  return {
    async increment(scope, subject, windowMs) {
      const key = keyOf(scope, subject);
      const now = performance.now();
      const mirror = current(key, now) ?? { count: 0, endsAt: now + windowMs, resetId: '' };
      mirror.count += 1;
      mirrors.set(key, mirror);
      const mine = mirror.count;
      const ttlMs = Math.max(1, Math.ceil(mirror.endsAt - now));
      const theirs = await redis?.increment(key, { windowMs, count: mine, ttlMs, resetId: mirror.resetId });
      if (!theirs) return { count: mine, ttlMs };

      const wasReset = theirs.resetId !== '' && theirs.resetId !== mirror.resetId;
      if (wasReset || theirs.count >= mirror.count) {
        mirror.count = theirs.count;
        mirror.resetId = theirs.resetId || mirror.resetId;
        // From the time of asking, not of the answer: memory must end its window before Redis does, or a client that
        // never pauses would have it prolonged by a round trip again and again.
        mirror.endsAt = now + theirs.ttlMs;
        return { count: theirs.count, ttlMs: theirs.ttlMs };
      }
      return theirs.count >= mine ? { count: theirs.count, ttlMs: theirs.ttlMs } : { count: mine, ttlMs };
    },

    async read(scope, subject) {
      const key = keyOf(scope, subject);
      const theirs = await redis?.read(key);
      const now = performance.now();
      const mirror = current(key, now);
      const mine = mirror
        ? { count: mirror.count, ttlMs: Math.ceil(mirror.endsAt - now) }
        : { count: 0, ttlMs: 0 };
      if (!theirs) return mine;
      const wasReset = theirs.resetId !== '' && theirs.resetId !== mirror?.resetId;
      return wasReset || theirs.count >= mine.count ? { count: theirs.count, ttlMs: theirs.ttlMs } : mine;
    },

    async reset(scope, subject, windowMs) {
      const key = keyOf(scope, subject);
      mirrors.delete(key);
      if (!redis) return 'everywhere';
      return (await redis.reset(key, windowMs)) ? 'everywhere' : 'here';
    },

    get status() {
      return redis ? redis.status : 'memory';
    },
    ready: async (waitMs = 1000) => redis?.ready(waitMs),
    close: async () => redis?.close(),
  };
}
