import { eventually, startPlatform, type TestPlatform } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { limitScopes, scopeOf } from './limit-scopes.ts';
import { gateway } from './service.ts';

const nowhere = 'http://127.0.0.1:9';
const limited = {
  AUTH_URL: nowhere,
  TOKEN_URL: nowhere,
  AUDIT_URL: nowhere,
  NATS_IDENTITY_URL: nowhere,
  RATE_LIMIT_ENABLED: 'true',
  RATE_LIMIT_LOGIN_MAX: '3',
  RATE_LIMIT_REFRESH_MAX: '5',
  RATE_LIMIT_DEFAULT_MAX: '4',
};

/** What happened to each of `count` sign-ins from an address: `passed` went on to where auth would be. */
async function signIns(platform: TestPlatform, count: number, from: string, path = '/api/auth/login') {
  const seen: string[] = [];
  for (let index = 0; index < count; index += 1) {
    const { status } = await platform.api.post(path, {}, { headers: { 'x-forwarded-for': from } });
    seen.push(status === 429 ? 'limited' : 'passed');
  }
  return seen.join(' ');
}

describe('limits by address', () => {
  let platform: TestPlatform;
  beforeAll(async () => {
    platform = await startPlatform([gateway], limited);
  });
  afterAll(() => platform?.close());

  it('count each address and scope apart, and answer 429 as the contract says', async () => {
    const headers = { 'x-forwarded-for': '192.0.2.1' };
    const first = await platform.api.post('/api/auth/login', {}, { headers });
    expect(first.headers.get('ratelimit-limit')).toBe('3');
    expect(first.headers.get('ratelimit-remaining')).toBe('2');
    expect(Number(first.headers.get('ratelimit-reset'))).toBeGreaterThan(50);
    expect(first.headers.get('retry-after')).not.toBe('0');
    expect(await signIns(platform, 3, '192.0.2.1')).toBe('passed passed limited');
    const refused = await platform.api.post('/api/auth/login', {}, { headers });
    expect(refused.status).toBe(429);
    expect(refused.body).toMatchObject({ code: 'rate_limited', status: 429 });
    expect(refused.headers.get('ratelimit-remaining')).toBe('0');
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(50);
    expect(await signIns(platform, 1, '192.0.2.1', '/api/auth/refresh')).toBe('passed');
    expect(await signIns(platform, 1, '192.0.2.2')).toBe('passed');
  });

  it('of a hundred at once as many pass as may', async () => {
    const all = await Promise.all(Array.from({ length: 100 }, () => signIns(platform, 1, '192.0.2.3')));
    expect(all.filter((one) => one === 'passed')).toHaveLength(3);
  });

  it('an IPv6 customer is one address by its /64, an IPv4-mapped address is the IPv4 address', async () => {
    const addresses = ['2001:db8:0:1::1', '2001:db8:0:1::2', '2001:db8:0:1:ffff::3', '2001:db8:0:1::4'];
    const all = [];
    for (const address of addresses) all.push(await signIns(platform, 1, address));
    expect(all).toEqual(['passed', 'passed', 'passed', 'limited']);
    expect(await signIns(platform, 1, '2001:db8:0:2::1')).toBe('passed');
    expect(await signIns(platform, 3, '192.0.2.4')).toBe('passed passed passed');
    expect(await signIns(platform, 1, '::ffff:192.0.2.4')).toBe('limited');
  });

  it('no spelling of a path has a count of its own', async () => {
    const from = '192.0.2.5';
    expect(await signIns(platform, 2, from)).toBe('passed passed');
    expect(await signIns(platform, 1, from, '/api/auth/%6Cogin')).toBe('passed');
    for (const path of ['/api/auth/login', '/api/auth/login?x=1', '/%61pi/auth/login', '/api/auth/log%69n'])
      expect(await signIns(platform, 1, from, path), path).toBe('limited');
    expect(scopeOf('POST', '/api/auth/login')).toBe('login');
  });

  it('what the address says of itself beyond the trusted proxy changes nothing', async () => {
    const all = [];
    for (let index = 0; index < 4; index += 1)
      all.push(await signIns(platform, 1, `203.0.113.${index}, 192.0.2.6`));
    expect(all).toEqual(['passed', 'passed', 'passed', 'limited']);
  });

  it('probes, metrics, the JWKS and preflights are not counted', async () => {
    const headers = { 'x-forwarded-for': '192.0.2.7' };
    for (let index = 0; index < 6; index += 1) {
      expect((await platform.api.get('/health/live', { headers })).status).toBe(200);
      expect((await platform.api.get('/.well-known/jwks.json', { headers })).status).toBe(503);
      expect((await platform.api.request('OPTIONS', '/docs', undefined, { headers })).status).toBe(204);
    }
    expect((await platform.api.get('/health/live', { headers })).headers.get('ratelimit-limit')).toBeNull();
    const seen = [];
    for (let index = 0; index < 5; index += 1)
      seen.push((await platform.api.get('/nowhere', { headers })).status);
    expect(seen).toEqual([404, 404, 404, 404, 429]);
  });

  it('tell the audit once for all refusals of an address in a window, and count each', async () => {
    await signIns(platform, 13, '192.0.2.8');
    const events = async () =>
      platform.database.query<{ data: Record<string, unknown>; traceparent: string; tenant_id: null }>(
        `select data, traceparent, tenant_id from gateway.outbox
         where type = 'security.rate_limited' and data->>'client_ip' = '192.0.2.8'`,
      );
    await eventually(async () => expect(await events()).toHaveLength(1));
    const [event] = await events();
    expect(event?.data).toMatchObject({ scope: 'login', limit: 3, user_id: null });
    expect(event?.data.count).toBeGreaterThanOrEqual(1);
    expect(event?.data.count).toBeLessThanOrEqual(10);
    expect(event?.traceparent).toMatch(/^00-/);
    const { text } = await platform.api.get('/metrics');
    expect(text).toMatch(/auth_rate_limit_hits_total\{scope="login"\} \d+/);
    expect(text).toMatch(/auth_login_total\{result="rate_limited",strategy="password"\} \d+/);
  });

  it('what is still to be told when the process stops is written before it ends', async () => {
    await signIns(platform, 13, '192.0.2.9');
    const { database } = platform;
    platform = await platform.restart();
    const [sum] = await database.query<{ refused: string }>(
      `select sum((data->>'count')::int) as refused from gateway.outbox where data->>'client_ip' = '192.0.2.9'`,
    );
    expect(Number(sum?.refused)).toBe(10);
  });
});

describe('a direct client', () => {
  let platform: TestPlatform;
  beforeAll(async () => {
    platform = await startPlatform([gateway], { ...limited, TRUST_PROXY: '10.0.0.0/8' });
  });
  afterAll(() => platform?.close());

  it('is counted by its socket, whatever headers it forges', async () => {
    const forged = (index: number): Record<string, string> => ({
      'x-forwarded-for': `198.51.100.${index}`,
      'x-real-ip': `198.51.100.${index}`,
      forwarded: `for=198.51.100.${index}`,
      'x-client-ip': `198.51.100.${index}`,
      'cf-connecting-ip': `198.51.100.${index}`,
      'x-gatehouse-client-ip': `198.51.100.${index}`,
      'x-gatehouse-credential': 'guessed',
    });
    const seen = [];
    for (let index = 0; index < 5; index += 1)
      seen.push((await platform.api.post('/api/auth/login', {}, { headers: forged(index) })).status);
    expect(seen).toEqual([503, 503, 503, 429, 429]);
  });
});

describe('the scopes', () => {
  it('every scope has its settings', () => {
    for (const scope of limitScopes) {
      expect(gateway.settings).toHaveProperty(`RATE_LIMIT_${scope.toUpperCase()}_MAX`);
      expect(gateway.settings).toHaveProperty(`RATE_LIMIT_${scope.toUpperCase()}_WINDOW_SECONDS`);
    }
  });

  it('what costs a hash or guesses a password counts as a sign-in, what administers as admin', () => {
    expect(scopeOf('POST', '/api/auth/password')).toBe('login');
    expect(scopeOf('POST', '/api/auth/register')).toBe('register');
    expect(scopeOf('POST', '/api/auth/refresh')).toBe('refresh');
    expect(scopeOf('GET', '/api/audit/events')).toBe('admin');
    expect(scopeOf('PATCH', '/api/admin/users/1')).toBe('admin');
    expect(scopeOf('GET', '/protected/admin/ping')).toBe('admin');
    expect(scopeOf('GET', '/api/auth/me')).toBe('default');
    expect(scopeOf('GET', '/health/live/')).toBe('default');
  });
});
