import { randomBytes } from 'node:crypto';
import { connect, createServer, type Socket } from 'node:net';
import { findRedisServer, type RunningServer, startRedis, temporaryHome } from '@gatehouse/embedded';
import Fastify from 'fastify';
import { createClient } from 'redis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  createLimiter,
  createRateLimitStore,
  type Limiter,
  type RateLimitStore,
  rateLimitHeaders,
  registerRateLimit,
  requestLimiter,
} from './rate-limit.ts';
import { eventually } from './testing.ts';

const hashKey = randomBytes(32);
const home = temporaryHome('gatehouse-rate-limit-');
let redis: RunningServer;
let episodes: string[];
const stores: RateLimitStore[] = [];

async function start(port?: number): Promise<RunningServer> {
  const { path, libraryPath } = findRedisServer();
  return startRedis({ home: home.path, port, binary: path, libraryPath });
}

/** A process of its own, as far as counting goes. */
async function instance(options: { memoryOnly?: boolean; url?: string } = {}): Promise<RateLimitStore> {
  const store = createRateLimitStore({
    redisUrl: options.memoryOnly ? undefined : (options.url ?? redis.url),
    hashKey,
    onEpisode: (kind) => episodes.push(kind),
  });
  stores.push(store);
  await store.ready();
  return store;
}

function login(store: RateLimitStore, max = 5, windowSeconds = 60): Limiter {
  return createLimiter({ store, scope: 'login', max, windowSeconds });
}

async function allowedOf(limiter: Limiter, subject: string, attempts: number): Promise<number> {
  const verdicts = await Promise.all(Array.from({ length: attempts }, () => limiter.consume(subject)));
  return verdicts.filter(({ allowed }) => allowed).length;
}

/** A network between us and Redis: slow, and its present connections can go silent without being closed. */
async function network(delayMs: number): Promise<{ url: string; silence(): void; close(): void }> {
  const sockets = new Set<Socket>();
  const silent = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(redis.port, '127.0.0.1');
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on('error', () => to.destroy());
      from.on('close', () => to.destroy());
      from.on('data', (data) => setTimeout(() => silent.has(from) || to.write(data), delayMs));
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    url: `redis://127.0.0.1:${address.port}`,
    silence: () => {
      for (const socket of sockets) silent.add(socket);
    },
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

async function command(...args: string[]): Promise<unknown> {
  const client = createClient({ url: redis.url });
  await client.connect();
  const reply = await client.sendCommand(args);
  client.destroy();
  return reply;
}

beforeAll(async () => {
  redis = await start();
});
afterAll(async () => {
  await redis.stop();
  home.remove();
});
beforeEach(async () => {
  episodes = [];
  await command('FLUSHALL');
});
afterEach(async () => {
  await Promise.all(stores.splice(0).map((store) => store.close()));
});

describe.each([
  ['in memory', true],
  ['in Redis', false],
])('counting %s', (_, memoryOnly) => {
  it('allows so many, then refuses with what remains and when it ends', async () => {
    const limiter = login(await instance({ memoryOnly }), 2);
    expect(await limiter.peek('a')).toEqual({ allowed: true, limit: 2, remaining: 2, resetSeconds: 0 });
    expect(await limiter.consume('a')).toEqual({ allowed: true, limit: 2, remaining: 1, resetSeconds: 60 });
    expect(await limiter.consume('a')).toMatchObject({ allowed: true, remaining: 0 });
    expect(await limiter.peek('a')).toMatchObject({ allowed: false, remaining: 0 });
    const refused = await limiter.consume('a');
    expect(refused).toMatchObject({ allowed: false, limit: 2, remaining: 0 });
    expect(refused.resetSeconds).toBeGreaterThan(50);
    expect(await limiter.consume('b')).toMatchObject({ allowed: true });
  });

  it('counts every one of a hundred at the same instant', async () => {
    expect(await allowedOf(login(await instance({ memoryOnly })), 'a', 100)).toBe(5);
  });

  it('counts scopes apart, and the same subject of two processes together where there is Redis', async () => {
    const [one, two] = [await instance({ memoryOnly }), await instance({ memoryOnly })];
    expect(await allowedOf(login(one), 'a', 5)).toBe(5);
    const other = createLimiter({ store: one, scope: 'register', max: 5, windowSeconds: 60 });
    expect(await allowedOf(other, 'a', 5)).toBe(5);
    expect(await allowedOf(login(two), 'a', 5)).toBe(memoryOnly ? 5 : 0);
  });

  it('starts again when the window ends, and not for a client that never pauses before', async () => {
    const limiter = login(await instance({ memoryOnly }), 3, 0.5);
    const started = performance.now();
    const allowedAt: number[] = [];
    // It comes to its end only because the window does, too.
    while (allowedAt.length < 7) {
      if ((await limiter.consume('a')).allowed) allowedAt.push(performance.now() - started);
    }
    expect(allowedAt[3]).toBeGreaterThan(490);
    expect(allowedAt[6]).toBeGreaterThan(990);
  });

  it('a reset acts at once', async () => {
    const limiter = login(await instance({ memoryOnly }));
    expect(await allowedOf(limiter, 'a', 9)).toBe(5);
    expect(await limiter.reset('a')).toBe('everywhere');
    expect(await limiter.peek('a')).toMatchObject({ remaining: 5 });
    expect(await allowedOf(limiter, 'a', 9)).toBe(5);
  });
});

describe('what lies in Redis', () => {
  it('holds no address and no e-mail, and ends by itself', async () => {
    const limiter = login(await instance());
    await limiter.consume('alice@example.com');
    await limiter.consume('198.51.100.1');
    const keys = (await command('KEYS', 'gatehouse:rl:login:*')) as string[];
    expect(keys).toHaveLength(2);
    expect(keys.join()).not.toMatch(/alice|198/);
    for (const key of keys) expect(await command('PTTL', key)).toBeGreaterThan(50_000);
  });

  it('a key that lost its expiry gets one again', async () => {
    const limiter = login(await instance());
    await limiter.consume('a');
    const [key = ''] = (await command('KEYS', 'gatehouse:rl:login:*')) as string[];
    await command('PERSIST', key);
    await limiter.consume('a');
    expect(await command('PTTL', key)).toBeGreaterThan(0);
  });

  it('a reset in one process acts in the others at their next attempt, and is not undone by what they remember', async () => {
    const [one, two] = [login(await instance()), login(await instance())];
    expect(await allowedOf(one, 'a', 9)).toBe(5);
    expect(await allowedOf(two, 'a', 1)).toBe(0);
    expect(await login(await instance()).reset('a')).toBe('everywhere');
    expect(await one.consume('a')).toMatchObject({ allowed: true, remaining: 4 });
    expect(await two.consume('a')).toMatchObject({ allowed: true, remaining: 3 });
    expect(await allowedOf(one, 'a', 9)).toBe(3);
  });
});

describe('Redis goes away in mid-attack (hard case 13)', () => {
  it('flushed: not one attempt more, in any process, and no episode', async () => {
    const [one, two] = [login(await instance()), login(await instance())];
    expect(await allowedOf(one, 'a', 2)).toBe(2);
    expect(await allowedOf(two, 'a', 2)).toBe(2);
    await command('FLUSHALL');
    expect(await allowedOf(two, 'a', 1)).toBe(1);
    expect(await allowedOf(one, 'a', 50)).toBe(0);
    expect(await allowedOf(login(await instance()), 'a', 50)).toBe(0);
    expect(episodes).toEqual([]);
  });

  it('flushed again and again under fire: the limit holds', async () => {
    const limiter = login(await instance(), 20);
    let allowed = 0;
    for (let round = 0; round < 20; round += 1) {
      const [count] = await Promise.all([allowedOf(limiter, 'a', 10), command('FLUSHALL')]);
      allowed += count;
    }
    expect(allowed).toBe(20);
  });

  it('killed: the count goes on in memory; back and empty: it goes on in Redis; one callback at each end', async () => {
    const store = await instance();
    const limiter = login(store);
    expect(await allowedOf(limiter, 'a', 3)).toBe(3);
    await redis.kill();
    expect(await allowedOf(limiter, 'a', 50)).toBe(2);
    expect(await allowedOf(limiter, 'b', 50)).toBe(5);
    await eventually(() => store.status === 'lost');
    expect(episodes).toEqual(['lost']);

    redis = await start(redis.port);
    await eventually(() => store.status === 'redis');
    expect(episodes).toEqual(['lost', 'recovered']);
    expect(await allowedOf(limiter, 'a', 50)).toBe(0);
    expect(await allowedOf(login(await instance()), 'a', 50)).toBe(0);
  });

  it('stopped (it accepts and never answers): no attempt waits longer than the deadline, the count goes on', async () => {
    const store = await instance();
    const limiter = login(store);
    expect(await allowedOf(limiter, 'a', 3)).toBe(3);
    process.kill(redis.pid, 'SIGSTOP');
    try {
      const started = performance.now();
      expect(await allowedOf(limiter, 'a', 500)).toBe(2);
      expect(performance.now() - started).toBeLessThan(2_000);
      const again = performance.now();
      for (let i = 0; i < 100; i += 1) expect(await limiter.consume('a')).toMatchObject({ allowed: false });
      // Had each waited for the deadline, it would have been five seconds.
      expect(performance.now() - again).toBeLessThan(2_000);
      expect(episodes).toEqual(['lost']);
      const reset = performance.now();
      expect(await limiter.reset('a')).toBe('here');
      expect(performance.now() - reset).toBeLessThan(2_000);
      // Long enough for the silent connection to be given up and for connecting anew to hang as well.
      await eventually(() => performance.now() - started > 6000);
      expect(await allowedOf(limiter, 'b', 50)).toBe(5);
    } finally {
      process.kill(redis.pid, 'SIGCONT');
    }
    await eventually(() => store.status === 'redis');
    expect(await allowedOf(limiter, 'b', 50)).toBe(0);
    expect(episodes).toEqual(['lost', 'recovered']);
  });

  it('full or read-only (it answers PING and refuses to count): one episode for as long as it lasts', async () => {
    const store = await instance();
    const limiter = login(store);
    expect(await allowedOf(limiter, 'a', 3)).toBe(3);
    await command('CONFIG', 'SET', 'maxmemory', '1');
    try {
      expect(await allowedOf(limiter, 'a', 50)).toBe(2);
      const started = performance.now();
      await eventually(() => performance.now() - started > 1500);
      expect(store.status).toBe('lost');
      expect(episodes).toEqual(['lost']);
    } finally {
      await command('CONFIG', 'SET', 'maxmemory', '0');
    }
    await eventually(() => store.status === 'redis');
    expect(await allowedOf(limiter, 'a', 50)).toBe(0);
    expect(episodes).toEqual(['lost', 'recovered']);
  });

  it('a connection that went silent without closing is given up, and a new one ends the episode', async () => {
    const { url, silence, close } = await network(0);
    const store = await instance({ url });
    expect(store.status).toBe('redis');
    silence();
    expect(await allowedOf(login(store), 'a', 50)).toBe(5);
    expect(store.status).toBe('lost');
    await eventually(() => store.status === 'redis');
    expect(await allowedOf(login(await instance()), 'a', 1)).toBe(1);
    expect(await allowedOf(login(store), 'a', 50)).toBe(0);
    expect(episodes).toEqual(['lost', 'recovered']);
    close();
  });

  it('far away: a client that never pauses does not prolong its own window', async () => {
    const { url, close } = await network(20);
    const limiter = login(await instance({ url }), 1, 0.3);
    const started = performance.now();
    let allowed = 0;
    while (performance.now() - started < 1500) {
      const verdicts = Array.from({ length: 8 }, async (_, i) => {
        await new Promise((resolve) => setTimeout(resolve, i * 5));
        return limiter.consume('a');
      });
      allowed += (await Promise.all(verdicts)).filter((verdict) => verdict.allowed).length;
    }
    // One a window of 0.3 s: more than the first, and no more than there was time for.
    expect(allowed).toBeGreaterThanOrEqual(2);
    expect(allowed).toBeLessThanOrEqual((performance.now() - started) / 300 + 1);
    close();
  });

  it('noticed without traffic, and at the start: limits hold from the first attempt', async () => {
    const idle = await instance();
    await redis.kill();
    await eventually(() => idle.status === 'lost');
    const store = await instance();
    expect(store.status).toBe('lost');
    expect(await allowedOf(login(store), 'a', 50)).toBe(5);
    expect(episodes).toEqual(['lost', 'lost']);
    redis = await start(redis.port);
    await eventually(() => store.status === 'redis' && idle.status === 'redis');
    expect(await allowedOf(login(store), 'a', 50)).toBe(0);
  });

  it('a blocked event loop is not a lost Redis', async () => {
    const store = await instance();
    const pending = login(store).consume('a');
    const until = performance.now() + 300;
    while (performance.now() < until);
    await pending;
    expect(store.status).toBe('redis');
    expect(episodes).toEqual([]);
  });

  it('a URL that is none is refused without showing it', () => {
    const bad = () => createRateLimitStore({ redisUrl: 'http://user:pa55@host', hashKey });
    expect(bad).toThrow(/^RATE_LIMIT_REDIS_URL/);
    expect(bad).not.toThrow('pa55');
  });
});

describe('through @fastify/rate-limit', () => {
  it('limits requests by the subject given, unknown routes too, with the headers of the draft', async () => {
    const store = await instance();
    const app = Fastify();
    await registerRateLimit(app, store);
    const limits = {
      login: requestLimiter(app, { scope: 'login', max: 2, windowSeconds: 60, subjectOf: ({ ip }) => ip }),
      rest: requestLimiter(app, { scope: 'default', max: 3, windowSeconds: 60, subjectOf: ({ ip }) => ip }),
    };
    app.addHook('onRequest', async (request, reply) => {
      const verdict = await (request.url === '/login' ? limits.login : limits.rest)(request);
      reply.headers(rateLimitHeaders(verdict));
      if (!verdict.allowed) await reply.code(429).send({});
    });
    app.get('/login', async () => 'in');
    const get = (url: string, remoteAddress = '198.51.100.1') => app.inject({ url, remoteAddress });

    const first = await get('/login');
    expect(first.statusCode).toBe(200);
    expect(first.headers).toMatchObject({
      'ratelimit-limit': '2',
      'ratelimit-remaining': '1',
      'ratelimit-reset': '60',
    });
    expect(first.headers).not.toHaveProperty('retry-after');
    expect((await get('/login')).statusCode).toBe(200);
    const refused = await get('/login');
    expect(refused.statusCode).toBe(429);
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(50);
    expect(refused.headers['ratelimit-remaining']).toBe('0');
    expect((await get('/login', '198.51.100.2')).statusCode).toBe(200);
    for (let i = 0; i < 3; i += 1) expect((await get('/nowhere')).statusCode).toBe(404);
    expect((await get('/nowhere')).statusCode).toBe(429);

    // The same counters as the limiter outside the plugin: an administrator's reset finds them.
    await createLimiter({ store, scope: 'login', max: 2, windowSeconds: 60 }).reset('198.51.100.1');
    expect((await get('/login')).statusCode).toBe(200);
    await app.close();
  });
});
