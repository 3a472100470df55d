import { findRedisServer, type RunningServer, startRedis, temporaryHome } from '@gatehouse/embedded';
import { eventually, startPlatform, type TestPlatform } from '@gatehouse/kit/testing';
import { afterEach, describe, expect, it } from 'vitest';
import { gateway } from './service.ts';

const nowhere = 'http://127.0.0.1:9';

/** A Redis that can go and come back on its port; what it knew is gone then. */
async function testRedis() {
  const home = temporaryHome('gatehouse-redis-');
  const { path: binary, libraryPath } = findRedisServer();
  const start = (port?: number) => startRedis({ home: home.path, binary, libraryPath, port });
  let server: RunningServer | undefined = await start();
  const { url, port } = server;
  return {
    url,
    async stop() {
      await server?.stop();
      server = undefined;
    },
    async start() {
      server = await start(port);
    },
    async close() {
      await server?.stop();
      home.remove();
    },
  };
}

describe('the shared store of the limits (attacks.md hard case 13)', () => {
  const open: { close(): Promise<void> }[] = [];
  afterEach(async () => {
    for (const one of open.splice(0).toReversed()) await one.close();
  });

  async function start(redisUrl: string): Promise<TestPlatform> {
    const platform = await startPlatform([gateway], {
      ...{ AUTH_URL: nowhere, TOKEN_URL: nowhere, AUDIT_URL: nowhere, NATS_IDENTITY_URL: nowhere },
      ...{ RATE_LIMIT_ENABLED: 'true', RATE_LIMIT_LOGIN_MAX: '6', RATE_LIMIT_REDIS_URL: redisUrl },
    });
    open.push(platform);
    return platform;
  }
  async function redis() {
    const server = await testRedis();
    open.push(server);
    return server;
  }
  const attempt = async (platform: TestPlatform, count: number) => {
    const seen: number[] = [];
    for (let index = 0; index < count; index += 1)
      seen.push((await platform.api.post('/api/auth/login', {})).status);
    return seen.map((status) => (status === 429 ? 'limited' : 'passed'));
  };
  const cacheOf = async (platform: TestPlatform) => {
    const { body } = await platform.api.get('/health');
    return body.components.find((one: { name: string }) => one.name === 'cache');
  };
  const episodes = async (platform: TestPlatform) => {
    const rows = await platform.database.query<{ state: string }>(
      `select data->>'state' as state from gateway.outbox where type = 'security.rate_limit_store' order by id`,
    );
    return rows.map(({ state }) => state);
  };

  it('lost in mid-attack: the count goes on where it was, and health and the audit hear of it once', async () => {
    const server = await redis();
    const platform = await start(server.url);
    expect(await cacheOf(platform)).toMatchObject({ status: 'healthy', details: { store: 'redis' } });
    expect(await attempt(platform, 4)).toEqual(Array(4).fill('passed'));
    await server.stop();
    expect(await attempt(platform, 4)).toEqual(['passed', 'passed', 'limited', 'limited']);
    await eventually(async () =>
      expect(await cacheOf(platform)).toMatchObject({ status: 'degraded', details: { state: 'lost' } }),
    );
    expect((await platform.api.get('/health/ready')).status).toBe(200);
    expect((await platform.api.get('/metrics')).text).toContain(
      'auth_dependency_up{service="gateway",dep="redis"} 0',
    );

    await server.start();
    await eventually(async () => expect(await cacheOf(platform)).toMatchObject({ status: 'healthy' }));
    // It came back empty; what memory knows counts.
    expect(await attempt(platform, 2)).toEqual(['limited', 'limited']);
    await eventually(async () => expect(await episodes(platform)).toEqual(['lost', 'recovered']));
  });

  it('away at the start: the gateway starts, limits hold, and Redis joins when it comes', async () => {
    const server = await redis();
    await server.stop();
    const platform = await start(server.url);
    expect(await attempt(platform, 8)).toEqual([...Array(6).fill('passed'), 'limited', 'limited']);
    await server.start();
    await eventually(async () => expect(await cacheOf(platform)).toMatchObject({ status: 'healthy' }));
    expect(await attempt(platform, 1)).toEqual(['limited']);
  });

  it('two gateways share one count', async () => {
    const server = await redis();
    const first = await start(server.url);
    const second = await startPlatform([gateway], { ...first.env, PORT: '0' });
    open.push(second);
    const seen = [...(await attempt(first, 3)), ...(await attempt(second, 4)), ...(await attempt(first, 1))];
    expect(seen).toEqual([...Array(6).fill('passed'), 'limited', 'limited']);
  });
});
