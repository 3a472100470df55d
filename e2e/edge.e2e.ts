import { eventually } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { auditEvent, expectProblem, mode, type Platform, startPlatform } from './platform.ts';

// Contract §2 row by row, and attack family 6.
let platform: Platform;

beforeAll(async () => {
  platform = await startPlatform({
    redis: true,
    env: {
      CORS_ORIGINS: 'https://app.example.com,https://admin.example.com',
      METRICS_GUARD: 'secret',
      METRICS_GUARD_SECRET: 'a-scraper-knows-this-secret',
      RATE_LIMIT_ENABLED: 'true',
      RATE_LIMIT_REGISTER_MAX: '5',
      // Only this network may speak for others: the test itself is a direct client.
      TRUST_PROXY: '10.0.0.0/8',
    },
  });
});
afterAll(() => platform?.close());

describe('the edge (contract §2)', () => {
  it('reports health with every component', async () => {
    // Right after the start something may not have been looked at yet.
    const body = await eventually(async () => {
      const health = await platform.api.get('/health');
      expect(health.status).toBe(200);
      expect(health.body, health.text).toMatchObject({
        status: 'healthy',
        version: expect.any(String),
        uptime_seconds: expect.any(Number),
      });
      return health.body;
    }, 30_000);
    const names = body.components.map(({ name }: { name: string }) => name);
    expect(names).toEqual(
      expect.arrayContaining([
        'database',
        'nats',
        'cache',
        'signing_keys',
        'email',
        'gateway',
        'auth',
        'token',
        'audit',
      ]),
    );
    for (const component of body.components)
      expect(component).toMatchObject({
        status: 'healthy',
        latency_ms: expect.any(Number),
        details: expect.any(Object),
      });
    const keys = body.components.find(({ name }: { name: string }) => name === 'signing_keys');
    expect(keys.details.key_count).toBeGreaterThanOrEqual(1);
  });

  it('has the guides’ names for the probes', async () => {
    for (const path of ['/health/live', '/health/ready', '/healthz', '/readyz', '/ready'])
      expect({ path, status: (await platform.api.get(path)).status }).toEqual({ path, status: 200 });
  });

  it('guards /metrics with the secret', async () => {
    expectProblem(await platform.api.get('/metrics'), 403, 'forbidden');
    expectProblem(
      await platform.api.get('/metrics', { headers: { 'x-metrics-secret': 'wrong' } }),
      403,
      'forbidden',
    );
    const answer = await platform.api.get('/metrics', {
      headers: { 'x-metrics-secret': 'a-scraper-knows-this-secret' },
    });
    expect(answer.status).toBe(200);
    expect(answer.text).toContain('auth_http_requests_total');
  });

  it('answers CORS for listed origins only, and never reflects another', async () => {
    const preflight = (origin: string) =>
      platform.api.request('OPTIONS', '/api/auth/login', undefined, {
        headers: {
          origin,
          'access-control-request-method': 'POST',
          'access-control-request-headers': 'content-type',
        },
      });
    const listed = await preflight('https://app.example.com');
    expect(listed.headers.get('access-control-allow-origin')).toBe('https://app.example.com');
    expect(listed.headers.get('vary')?.toLowerCase()).toContain('origin');
    for (const origin of [
      'https://evil.example',
      'https://app.example.com.evil.example',
      'null',
      'http://app.example.com',
      'https://APP.example.com:443',
    ])
      expect({
        origin,
        allowed: (await preflight(origin)).headers.get('access-control-allow-origin'),
      }).toEqual({ origin, allowed: null });
    const simple = await platform.api.get('/.well-known/jwks.json', {
      headers: { origin: 'https://admin.example.com' },
    });
    expect(simple.headers.get('access-control-allow-origin')).toBe('https://admin.example.com');
  });

  it('limits by address: 429 with Retry-After and the RateLimit headers, an event once, and no forged header helps', async () => {
    const answers = [];
    for (let attempt = 0; attempt < 12; attempt += 1) {
      const forged = {
        'x-forwarded-for': `203.0.113.${attempt}`,
        'x-real-ip': `203.0.113.${attempt}`,
        forwarded: `for=203.0.113.${attempt}`,
        'x-gatehouse-client-ip': `203.0.113.${attempt}`,
      };
      answers.push(
        await platform.api.post('/api/auth/register', { email: 'x', password: 'y' }, { headers: forged }),
      );
    }
    expect(answers.map(({ status }) => status)).toEqual([...Array(5).fill(400), ...Array(7).fill(429)]);
    const refused = answers.at(-1);
    expectProblem(refused as never, 429, 'rate_limited');
    expect(Number(refused?.headers.get('retry-after'))).toBeGreaterThan(0);
    expect([...(refused?.headers.keys() ?? [])].some((name) => name.includes('ratelimit'))).toBe(true);
    const event = await auditEvent(platform, { type: 'security.rate_limited' });
    expect(event.client_ip).toBe('127.0.0.1');
    expect(event.data).toMatchObject({ scope: 'register', limit: 5 });
  });

  it('carries the trace in and out, and refuses a malformed one in silence', async () => {
    const traceId = '4bf92f3577b34da6a3ce929d0e0e4736';
    const given = await platform.api.get('/nothing', {
      headers: { traceparent: `00-${traceId}-00f067aa0ba902b7-01` },
    });
    expect(given.body.trace_id).toBe(traceId);
    expect(given.headers.get('traceparent')).toContain(traceId);
    const bad = await platform.api.get('/nothing', { headers: { traceparent: '00-zz-zz-zz' } });
    expect(bad.body.trace_id).toMatch(/^[0-9a-f]{32}$/);
  });

  it('shows OpenAPI 3.1, AsyncAPI 3 and a page to read', async () => {
    const openapi = (await platform.api.get('/openapi.json')).body;
    expect(openapi.openapi).toMatch(/^3\.1/);
    for (const path of [
      '/api/auth/register',
      '/api/auth/login',
      '/api/auth/refresh',
      '/.well-known/jwks.json',
      '/api/audit/events',
    ])
      expect(Object.keys(openapi.paths)).toContain(path);
    const asyncapi = (await platform.api.get('/asyncapi.json')).body;
    expect(asyncapi.asyncapi).toMatch(/^3\./);
    expect(JSON.stringify(asyncapi)).toContain('security.refresh_replay_detected');
    const page = await platform.api.get('/docs');
    expect(page.status).toBe(200);
    expect(page.text).toContain('/api/auth/login');
    expect(page.headers.get('content-security-policy')).toBeTruthy();
  });

  it('never lets /internal through, whatever the spelling', async () => {
    for (const path of [
      '/internal/token/session-status',
      '/Internal/token/session-status',
      '/internal%2ftoken/session-status',
      '/api/auth/..%2f..%2finternal/token/session-status',
      '/api/auth/%2e%2e/%2e%2e/internal/token/session-status',
      '/protected//internal/token/session-status',
    ])
      expect({ path, status: (await platform.api.post(path, { session_id: 'x' })).status }).toEqual({
        path,
        status: 404,
      });
  });

  it('says not ready once it is told to leave, and leaves no process', async () => {
    const gateway = mode === 'one' ? 'all-in-one' : 'gateway';
    await platform.stopService(gateway);
    await expect(fetch(`${platform.url}/health/live`)).rejects.toThrow();
    await platform.startService(gateway);
    expect((await platform.api.get('/health/ready')).status).toBe(200);
  });
});
