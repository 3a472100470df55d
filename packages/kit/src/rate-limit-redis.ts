import { randomUUID } from 'node:crypto';
import { createClient, defineScript } from 'redis';
import { LOOK_AGAIN_MS, type NoteCertificate, notingIdentity } from './certificates.ts';
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
/** A process that starts is busy: until then a late answer is waited for again, and only a refusal is a loss. */
const START_GRACE_MS = 3000;
/** Answers in a row that end an episode, so that a Redis that comes and goes is one episode. */
const PROBES_TO_RECOVER = 3;
/**
 * A connection that has answered nothing for so long is given up for a new one: the other side may have vanished without
 * a word. (node-redis' `socketTimeout` does not do it: our own probes count as activity.)
 */
const SILENCE_MS = 3000;
const RECONNECT_MS_MAX = 1000;
const LATE_TIMER_MS = 20;

type Status = 'connecting' | 'redis' | 'lost';
type OnEpisode = ((kind: 'lost' | 'recovered', detail: RateLimitEpisode) => void) | undefined;

/** Redis behind a deadline and a switch: lost at the first failure, back after a few good answers in a row. */
export function connectRateLimitRedis(options: {
  url: string;
  probeKey: string;
  deadlineMs: number;
  onEpisode: OnEpisode;
  onCertificate?: NoteCertificate | undefined;
}): RateLimitRedis {
  const connection = createConnection(options, {
    onReady: () => void probe(),
    onError: (error) => lose(error),
  });
  const looksAgain = setInterval(() => void connection.shakeHands(), LOOK_AGAIN_MS).unref();
  const state = createState(options.onEpisode);
  let timer: NodeJS.Timeout | undefined;
  let closed = false;
  const openedAt = performance.now();

  function lose(error: Error): void {
    if (!closed && state.lose(error.message || error.name)) schedule(PROBE_MS);
  }

  /** The probe counts like everybody else: a read-only or full Redis answers PING and still cannot count. */
  async function probe(): Promise<void> {
    const { client } = connection;
    const answered = client.isReady
      ? await within(client.increment(options.probeKey, '1000', '0', '1', ''), options.deadlineMs)
      : new Error('not connected');
    if (closed) return;
    const starting = state.status === 'connecting' && performance.now() - openedAt < START_GRACE_MS;
    if (answered instanceof Error) {
      if (!starting) lose(answered);
      connection.renewIfSilent();
    } else {
      connection.heard();
      state.answered();
    }
    schedule(state.status === 'redis' ? HEARTBEAT_MS : PROBE_MS);
  }

  function schedule(ms: number): void {
    clearTimeout(timer);
    timer = setTimeout(() => void probe(), ms);
    timer.unref();
  }

  async function ask<Result>(command: (client: Client) => Promise<Result>): Promise<Result | undefined> {
    if (state.status !== 'redis') return undefined;
    const answer = await within(command(connection.client), options.deadlineMs);
    if (!(answer instanceof Error)) return answer;
    lose(answer);
    return undefined;
  }

  schedule(HEARTBEAT_MS);
  return {
    increment: (key, { windowMs, count, ttlMs, resetId }) =>
      ask((client) => client.increment(key, `${windowMs}`, `${count}`, `${ttlMs}`, resetId)),
    read: (key) => ask((client) => client.read(key)),
    reset: async (key, windowMs) =>
      (await ask((client) => client.reset(key, `${windowMs}`, randomUUID()))) !== undefined,
    get status() {
      return state.status;
    },
    async ready(waitMs) {
      await within(state.known, waitMs);
    },
    async close() {
      closed = true;
      clearTimeout(timer);
      clearInterval(looksAgain);
      connection.close();
    },
  };
}

/** Episodes: one call at the beginning and one at the end of each, however many attempts notice it. */
function createState(onEpisode: OnEpisode) {
  const known = Promise.withResolvers<void>();
  let status: Status = 'connecting';
  let lostAt = 0;
  let reason = '';
  let answers = 0;
  return {
    /** Settles when it is clear for the first time whether Redis is there. */
    known: known.promise,
    get status() {
      return status;
    },
    /** True when this began an episode. */
    lose(why: string): boolean {
      answers = 0;
      if (status === 'lost') return false;
      status = 'lost';
      lostAt = performance.now();
      reason = why;
      known.resolve();
      onEpisode?.('lost', { reason, seconds: 0 });
      return true;
    },
    answered(): void {
      answers += 1;
      if (status === 'redis' || (status === 'lost' && answers < PROBES_TO_RECOVER)) return;
      const wasLost = status === 'lost';
      status = 'redis';
      known.resolve();
      if (wasLost) onEpisode?.('recovered', { reason, seconds: (performance.now() - lostAt) / 1000 });
    },
  };
}

/** The client in use, replaced when it has been silent too long. */
function createConnection(
  { url, onCertificate }: { readonly url: string; readonly onCertificate?: NoteCertificate | undefined },
  on: { onReady: () => void; onError: (error: Error) => void },
) {
  let client = open();
  let heardAt = performance.now();

  function open(): Client {
    const opened = openClient(url, onCertificate);
    opened.on('error', (error: Error) => {
      if (opened === client) on.onError(error);
    });
    opened.on('ready', () => {
      if (opened === client) on.onReady();
    });
    // Tries until it is destroyed, which is what rejects it.
    opened.connect().catch(() => undefined);
    return opened;
  }

  return {
    get client() {
      return client;
    },
    /** Of a connection that lives for it only: the other one was shown a certificate once. Nothing without TLS. */
    async shakeHands(): Promise<void> {
      if (onCertificate === undefined || !url.startsWith('rediss:')) return;
      const once = client.duplicate();
      // What is wrong with the server the connection in use finds out.
      once.on('error', () => once.destroy());
      await once.connect().catch(() => undefined);
      if (once.isOpen) once.destroy();
    },
    heard(): void {
      heardAt = performance.now();
    },
    renewIfSilent(): void {
      if (performance.now() - heardAt <= SILENCE_MS) return;
      client.destroy();
      heardAt = performance.now();
      client = open();
    },
    close(): void {
      client.destroy();
    },
  };
}

type Client = ReturnType<typeof openClient>;

function openClient(url: string, onCertificate?: NoteCertificate) {
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
      // Reaches tls.connect(), which the types of a URL's client do not know.
      ...(onCertificate && { checkServerIdentity: notingIdentity(onCertificate) }),
      connectTimeout: 1000,
      reconnectStrategy: (retries) => Math.min(50 * 2 ** Math.min(retries, 10), RECONNECT_MS_MAX),
    },
  });
}

/** The result, or an Error by the deadline. A late answer is dropped: memory has answered in its place. */
async function within<Result>(result: Promise<Result>, deadlineMs: number): Promise<Result | Error> {
  const { promise, resolve } = Promise.withResolvers<Result | Error>();
  let timer: NodeJS.Timeout;
  // A timer that itself comes late tells of a blocked event loop: the question may not even have been sent. Redis gets
  // its time then, once; and one more turn lets an answer that is there win, for timers run before sockets are read.
  const wait = (again: boolean): void => {
    const due = performance.now() + deadlineMs + LATE_TIMER_MS;
    timer = setTimeout(() => {
      if (again && performance.now() > due) wait(false);
      else setImmediate(() => resolve(new Error(`no answer within ${deadlineMs} ms`)));
    }, deadlineMs);
  };
  wait(true);
  result.then(resolve, (error: unknown) =>
    resolve(error instanceof Error ? error : new Error('redis failed')),
  );
  return promise.finally(() => clearTimeout(timer));
}
