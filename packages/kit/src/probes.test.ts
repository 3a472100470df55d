import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { configOf } from './run.ts';
import { defineService } from './service.ts';
import { eventually, startPlatform, type TestPlatform, testEnv } from './testing.ts';

/** A service alone in its process, as in split mode. */
const alone = defineService({ name: 'audit', settings: {}, routes: [], open: async () => ({}) });

const faultsOf = (env: Record<string, string>): string => {
  try {
    configOf([alone], {
      ...testEnv({ DATABASE_URL: 'postgres://localhost/x', METRICS_GUARD: 'cidr' }),
      ...env,
    });
    return '';
  } catch (error) {
    return (error as Error).message;
  }
};

describe('a process of one service', () => {
  let platform: TestPlatform;
  beforeAll(async () => {
    platform = await startPlatform([alone], {
      METRICS_GUARD: 'cidr',
      METRICS_GUARD_ALLOWLIST: '192.0.2.0/24,2001:db8::/32',
    });
  });
  afterAll(() => platform?.close());
  const metricsFrom = async (from?: string) =>
    (await platform.api.get('/metrics', from ? { headers: { 'x-forwarded-for': from } } : {})).status;

  it('has its probes under every name', async () => {
    for (const path of ['/health/live', '/health/ready', '/healthz', '/readyz', '/ready'])
      expect((await platform.api.get(path)).status, path).toBe(200);
    expect((await platform.api.get('/health/live')).body).toEqual({ status: 'alive' });
    expect((await platform.api.get('/health/ready')).body).toMatchObject({ status: 'ready' });
  });

  it('shows its metrics to the listed networks only, by the address after trusted proxies', async () => {
    expect(await metricsFrom('192.0.2.7')).toBe(200);
    expect(await metricsFrom('::ffff:192.0.2.7')).toBe(200);
    expect(await metricsFrom('2001:db8::1')).toBe(200);
    expect(await metricsFrom('192.0.3.7')).toBe(403);
    expect(await metricsFrom('192.0.2.7, 198.51.100.1')).toBe(403);
    expect(await metricsFrom('nonsense')).toBe(403);
    expect(await metricsFrom()).toBe(403);
  });

  it('by secret: only the right one opens', async () => {
    const secret = 'a-scraper-knows-this-secret';
    platform = await platform.restart({ METRICS_GUARD: 'secret', METRICS_GUARD_SECRET: secret });
    const ask = async (headers: Record<string, string>) =>
      (await platform.api.get('/metrics', { headers })).status;
    expect(await ask({ 'x-metrics-secret': secret })).toBe(200);
    expect(await ask({ authorization: `Bearer ${secret}` })).toBe(200);
    for (const wrong of [
      `Bearer ${secret}x`,
      secret,
      `Basic ${secret}`,
      `Bearer ${secret} ${secret}`,
      'Bearer ',
    ])
      expect(await ask({ authorization: wrong }), wrong).toBe(403);
    for (const wrong of ['', 'x', `${secret}x`, secret.slice(1), secret.toUpperCase()])
      expect(await ask({ 'x-metrics-secret': wrong }), wrong).toBe(403);
    expect(await ask({})).toBe(403);
    expect(await ask({ authorization: 'Bearer another', 'x-forwarded-for': '192.0.2.7' })).toBe(403);
  });

  it('switched off they are not there', async () => {
    platform = await platform.restart({ METRICS_ENABLED: 'false' });
    expect(await metricsFrom('192.0.2.7')).toBe(404);
  });

  it('READINESS_REQUIRES decides what readiness waits for', async () => {
    await platform.nats.server().stop();
    await eventually(async () => expect((await platform.api.get('/ready')).status).toBe(503));
    expect((await platform.api.get('/healthz')).status).toBe(200);
    platform = await platform.restart({ READINESS_REQUIRES: 'db' });
    expect((await platform.api.get('/ready')).status).toBe(200);
  });
});

describe('settings of the metrics guard', () => {
  const production = { NODE_ENV: 'production' };

  it('none is refused in production unless the listener is private', () => {
    for (const HOST of ['0.0.0.0', '::', '203.0.113.1', 'gatehouse.example.com'])
      expect(faultsOf({ ...production, HOST, METRICS_GUARD: 'none' }), HOST).toContain('METRICS_GUARD none');
    for (const HOST of ['127.0.0.1', '::1', '10.1.2.3', 'fd00::1', 'localhost'])
      expect(faultsOf({ ...production, HOST, METRICS_GUARD: 'none' }), HOST).toBe('');
    expect(faultsOf({ HOST: '0.0.0.0', METRICS_GUARD: 'none' })).toBe('');
    expect(
      faultsOf({ ...production, HOST: '0.0.0.0', METRICS_GUARD: 'none', METRICS_ENABLED: 'false' }),
    ).toBe('');
  });

  it('a missing or short secret and a list that is none are named, never shown', () => {
    expect(faultsOf({ METRICS_GUARD: 'secret' })).toContain('METRICS_GUARD_SECRET is missing');
    const short = faultsOf({ ...production, METRICS_GUARD: 'secret', METRICS_GUARD_SECRET: 'tooshort' });
    expect(short).toContain('METRICS_GUARD_SECRET is shorter');
    expect(short).not.toContain('tooshort');
    expect(faultsOf({ METRICS_GUARD_ALLOWLIST: '10.0.0.0/8,everybody' })).toContain(
      'METRICS_GUARD_ALLOWLIST: entry 2',
    );
    expect(faultsOf({ READINESS_REQUIRES: 'db,redis' })).toContain('READINESS_REQUIRES');
  });
});
