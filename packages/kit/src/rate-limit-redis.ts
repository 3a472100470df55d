import { randomUUID } from 'node:crypto';
import { createClient, defineScript } from 'redis';
import type { RateLimitEpisode } from './rate-limit-store.ts';

/** What Redis knows of a subject. */
export interface RedisCount {
  readonly count: number;
  readonly ttlMs: number;
  /** Id of the last reset in this window, or empty. */
  readonly resetId: string;
}

/** What memory knows, sent along so that an emptied Redis learns it again. */
export interface KnownCount {
  readonly windowMs: number;
  readonly count: number;
  readonly ttlMs: number;
  readonly resetId: string;
}

/** Redis as the rate limiter sees it: answers within the deadline, or `undefined`. */
export interface RateLimitRedis {
  increment(key: string, known: KnownCount): Promise<RedisCount | undefined>;
  read(key: string): Promise<RedisCount | undefined>;
  reset(key: string, windowMs: number): Promise<boolean>;
  readonly status: 'connecting' | 'redis' | 'lost';
  ready(waitMs: number): Promise<void>;
  close(): Promise<void>;
}

/**
 * One hash a subject: `n` attempts, `r` id of the last reset. A count that memory knows to be higher is put back (Redis
 * was flushed, restarted, or away), unless an administrator has reset it since. A key without an expiry gets one.
 */
const INCREMENT = `
local n = redis.call('HINCRBY', KEYS[1], 'n', 1)
local t = redis.call('PTTL', KEYS[1])
local r = redis.call('HGET', KEYS[1], 'r') or ''
if t < 0 then
  t = tonumber(ARGV[1])
  redis.call('PEXPIRE', KEYS[1], t)
end
local known = tonumber(ARGV[2])
if known > n and (r == '' or r == ARGV[4]) then
  n = known
  t = tonumber(ARGV[3])
  r = ARGV[4]
  redis.call('HSET', KEYS[1], 'n', n)
  if r ~= '' then redis.call('HSET', KEYS[1], 'r', r) end
  redis.call('PEXPIRE', KEYS[1], t)
end
return {n, t, r}`;

/** The window goes on: its end is the same in every process, so none of them can still hold an older count after it. */
const RESET = `
local t = redis.call('PTTL', KEYS[1])
if t < 0 then t = tonumber(ARGV[1]) end
redis.call('HSET', KEYS[1], 'n', 0, 'r', ARGV[2])
redis.call('PEXPIRE', KEYS[1], t)
return t`;

const READ = `
local v = redis.call('HMGET', KEYS[1], 'n', 'r')
local t = redis.call('PTTL', KEYS[1])
if t < 0 then t = 0 end
return {tonumber(v[1] or '0'), t, v[2] or ''}`;

type Reply = [number, number, string];
const asCount = ([count, ttlMs, resetId]: Reply): RedisCount => ({ count, ttlMs, resetId });

function script<Result>(text: string, transformReply: (reply: Reply) => Result) {
  return defineScript({
    SCRIPT: text,
    NUMBER_OF_KEYS: 1,
    parseCommand(parser, key: string, ...args: string[]) {
      parser.pushKey(key);
      parser.push(...args);
    },
    transformReply: transformReply as unknown as () => Result,
  });
}

/** While Redis answers: how often it is asked when nobody else does. */
const HEARTBEAT_MS = 1000;
/** While it is lost. */
const PROBE_MS = 250;
/** Answers in a row that end an episode, so that a Redis that comes and goes is one episode. */
const PROBES_TO_RECOVER = 3;
/** A connection that is silent in spite of the heartbeat is given up and made anew. */
const SOCKET_SILENCE_MS = 4000;
const RECONNECT_MS_MAX = 1000;

export function connectRateLimitRedis(options: {
  url: string;
  probeKey: string;
  deadlineMs: number;
  onEpisode: ((kind: 'lost' | 'recovered', detail: RateLimitEpisode) => void) | undefined;
}): RateLimitRedis {
  const client = openClient(options.url);
  let status: 'connecting' | 'redis' | 'lost' = 'connecting';
  let lostAt = 0;
  let lostReason = '';
  let goodProbes = 0;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  const first = Promise.withResolvers<void>();

  function lose(reason: string): void {
    goodProbes = 0;
    if (closed || status === 'lost') return;
    status = 'lost';
    lostAt = performance.now();
    lostReason = reason;
    schedule(PROBE_MS);
    options.onEpisode?.('lost', { reason, seconds: 0 });
  }

  function recover(): void {
    const wasLost = status === 'lost';
    status = 'redis';
    first.resolve();
    if (wasLost) {
      options.onEpisode?.('recovered', { reason: lostReason, seconds: (performance.now() - lostAt) / 1000 });
    }
  }

  /** The probe counts like everybody else: a read-only or full Redis answers PING and still cannot count. */
  async function probe(): Promise<void> {
    const known = ['1000', '0', '1', ''];
    const answered = client.isReady
      ? await within(client.increment(options.probeKey, ...known), options.deadlineMs)
      : new Error('not connected');
    if (closed) return;
    if (answered instanceof Error) lose(answered.message);
    else {
      goodProbes += 1;
      if (status === 'connecting' || (status === 'lost' && goodProbes >= PROBES_TO_RECOVER)) recover();
    }
    schedule(status === 'lost' ? PROBE_MS : HEARTBEAT_MS);
  }

  function schedule(ms: number): void {
    clearTimeout(timer);
    if (closed) return;
    timer = setTimeout(() => void probe(), ms);
    timer.unref();
  }

  async function ask<Result>(command: () => Promise<Result>): Promise<Result | undefined> {
    if (status !== 'redis') return undefined;
    const answer = await within(command(), options.deadlineMs);
    if (!(answer instanceof Error)) return answer;
    lose(answer.message);
    return undefined;
  }

  client.on('error', (error: Error) => lose(error.message || error.name));
  client.on('ready', () => void probe());
  // Never rejects for good: the reconnect strategy goes on until close().
  client.connect().catch(() => undefined);
  schedule(HEARTBEAT_MS);

  return {
    increment: (key, known) =>
      ask(() =>
        client.increment(key, `${known.windowMs}`, `${known.count}`, `${known.ttlMs}`, known.resetId),
      ),
    read: (key) => ask(() => client.read(key)),
    reset: async (key, windowMs) =>
      (await ask(() => client.reset(key, `${windowMs}`, randomUUID()))) !== undefined,
    get status() {
      return status;
    },
    async ready(waitMs) {
      const wait = Promise.withResolvers<void>();
      const giveUp = setTimeout(wait.resolve, waitMs);
      await Promise.race([first.promise, wait.promise]);
      clearTimeout(giveUp);
    },
    async close() {
      closed = true;
      clearTimeout(timer);
      client.destroy();
    },
  };
}

function openClient(url: string) {
  if (!URL.canParse(url) || !/^rediss?:$/.test(new URL(url).protocol)) {
    throw new Error('RATE_LIMIT_REDIS_URL is not a redis:// or rediss:// URL');
  }
  return createClient({
    url,
    // Attempts that waited for Redis to come back would be counted long after they were answered from memory.
    disableOfflineQueue: true,
    scripts: {
      increment: script(INCREMENT, asCount),
      read: script(READ, asCount),
      reset: script(RESET, () => true),
    },
    socket: {
      connectTimeout: 1000,
      socketTimeout: SOCKET_SILENCE_MS,
      reconnectStrategy: (retries) => Math.min(50 * 2 ** Math.min(retries, 10), RECONNECT_MS_MAX),
    },
  });
}

/** The result, or an Error by the deadline. A late answer is dropped: memory has answered in its place. */
async function within<Result>(result: Promise<Result>, deadlineMs: number): Promise<Result | Error> {
  const { promise, resolve } = Promise.withResolvers<Result | Error>();
  // After a blocked event loop timers run before sockets are read; one more turn lets an answer that is there win.
  const timer = setTimeout(
    () => setImmediate(() => resolve(new Error(`no answer within ${deadlineMs} ms`))),
    deadlineMs,
  );
  result.then(resolve, (error: unknown) =>
    resolve(error instanceof Error ? error : new Error('redis failed')),
  );
  const outcome = await promise;
  clearTimeout(timer);
  return outcome;
}
