import { findRedisServer, type RunningServer, startRedis, temporaryHome } from '@gatehouse/embedded';
import { type Api, newEmail } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Administered, PLATFORM_ADMIN, startAdministered } from './administration-testing.ts';

const reset = '/api/admin/rate-limits/reset';
const limits = {
  RATE_LIMIT_ENABLED: 'true',
  RATE_LIMIT_LOGIN_MAX: '3',
  RATE_LIMIT_REGISTER_MAX: '3',
  RATE_LIMIT_LOGIN_ACCOUNT_MAX: '2',
  AUTH_LOGIN_MAX_ATTEMPTS: '100',
};

/** How many attempts an address has left, after one more. */
async function leftOf(api: Api, ip: string, path = '/api/auth/login'): Promise<string | null> {
  const { headers } = await api.post(path, {}, { headers: { 'x-forwarded-for': ip } });
  return headers.get('ratelimit-remaining');
}

describe.each(['redis', 'memory'])('rate limits counted in %s', (store) => {
  const home = temporaryHome('gatehouse-reset-');
  let redis: RunningServer | undefined;
  let platform: Administered;
  let token: string;
  const post = (body: object) => platform.api.post(reset, { reason: 'a shared office', ...body }, { token });

  beforeAll(async () => {
    if (store === 'redis') {
      const { path: binary, libraryPath } = findRedisServer();
      redis = await startRedis({ home: home.path, binary, libraryPath });
    }
    platform = await startAdministered({ ...limits, ...(redis && { RATE_LIMIT_REDIS_URL: redis.url }) });
    token = await platform.accessToken(PLATFORM_ADMIN);
  });
  afterAll(async () => {
    await platform?.close();
    await redis?.stop();
    home.remove();
  });
  const reach = store === 'redis' ? 'every_instance' : 'this_instance';

  it('start again for one address and scope; every other count stays', async () => {
    for (const ip of ['192.0.2.1', '192.0.2.2'])
      for (const left of ['2', '1', '0', '0']) expect(await leftOf(platform.api, ip)).toBe(left);
    expect(await leftOf(platform.api, '192.0.2.1', '/api/auth/register')).toBe('2');
    const { status, body, text } = await post({ ip: '192.0.2.1', scopes: ['login', 'login'] });
    expect(status, text).toBe(200);
    expect(body).toEqual({ of: 'address', scopes: ['login'], counters: 1, reach });
    expect(await leftOf(platform.api, '192.0.2.1')).toBe('2');
    expect(await leftOf(platform.api, '192.0.2.2')).toBe('0');
    expect(await leftOf(platform.api, '192.0.2.1', '/api/auth/register')).toBe('1');
  });

  it('start again in every scope, for a network, an IPv6 customer and an IPv4-mapped address', async () => {
    for (const ip of ['192.0.2.10', '192.0.2.11', '192.0.3.1', '2001:db8:1:1::1', '192.0.2.200'])
      for (const path of ['/api/auth/login', '/api/auth/register']) await leftOf(platform.api, ip, path);
    expect((await post({ network: '192.0.2.10/31' })).body).toMatchObject({ counters: 16 });
    expect((await post({ ip: '2001:db8:1:1:ffff::9' })).body).toMatchObject({ counters: 8 });
    expect((await post({ ip: '::ffff:192.0.2.200' })).body).toMatchObject({ counters: 8 });
    for (const ip of ['192.0.2.10', '192.0.2.11', '2001:db8:1:1::2', '192.0.2.200'])
      for (const path of ['/api/auth/login', '/api/auth/register'])
        expect(await leftOf(platform.api, ip, path), ip).toBe('2');
    expect(await leftOf(platform.api, '192.0.3.1')).toBe('1');
  });

  it('start again for one account, known or not', async () => {
    const [email, other] = [newEmail(), newEmail()];
    const signIn = async (address: string) =>
      (
        await platform.api.post(
          '/api/auth/login',
          { email: address, password: 'WrongPassword123' },
          { headers: { 'x-forwarded-for': `198.51.100.${Math.ceil(Math.random() * 250)}` } },
        )
      ).status;
    for (const address of [email, other]) {
      const seen = [await signIn(address), await signIn(address), await signIn(address)];
      expect(seen).toEqual([401, 401, 429]);
    }
    const { body } = await post({ email: ` ${email.toUpperCase()}` });
    expect(body).toEqual({ of: 'user', scopes: ['login'], counters: 1, reach });
    expect([await signIn(email), await signIn(email), await signIn(email)]).toEqual([401, 401, 429]);
    expect(await signIn(other)).toBe(429);
    const [told] = await platform.behind.database.query<{ data: object }>(
      `select data from auth.outbox where type = 'admin.rate_limit.reset'`,
    );
    expect(told?.data).toMatchObject({ of: 'user', email, address: null, reason: 'a shared office' });
  });

  it('tell who set them back, for what reason, and what; the address is personal', async () => {
    await post({ ip: '203.0.113.9', reason: 'asked by phone' });
    const [told] = await platform.behind.database.query<{ data: Record<string, unknown> }>(
      `select data from gateway.outbox where type = 'admin.rate_limit.reset' and data->>'reason' = 'asked by phone'`,
    );
    expect(told?.data).toMatchObject({ of: 'address', address: '203.0.113.9', actor_id: expect.any(String) });
    expect(told?.data.scopes).toContain('oidc_token');
  });

  it('are not set back for what is no target, two targets, or without a reason', async () => {
    const wrong: [object, string][] = [
      [{}, 'invalid_request'],
      [{ ip: '192.0.2.1', email: 'a@example.com' }, 'invalid_request'],
      [{ ip: '192.0.2.0/24' }, 'invalid_request'],
      [{ ip: 'localhost' }, 'invalid_request'],
      [{ network: '10.0.0.0/8' }, 'invalid_request'],
      [{ ip: '192.0.2.1', tenant_id: '00000000-0000-7000-8000-000000000001' }, 'invalid_request'],
      [{ email: 'a@example.com', scopes: ['register'] }, 'invalid_request'],
      [{ ip: '192.0.2.1', scopes: ['nothing'] }, 'invalid_request'],
      [{ ip: '192.0.2.1', scopes: [] }, 'invalid_request'],
      [{ email: 'nonsense' }, 'invalid_email'],
      [{ user_id: '00000000-0000-7000-8000-00000000dead' }, 'not_found'],
      [{ ip: '192.0.2.1', reason: ' ' }, 'reason_required'],
    ];
    for (const [body, code] of wrong) expect((await post(body)).body.code, JSON.stringify(body)).toBe(code);
  });

  it.runIf(store === 'redis')('start again at every gateway that shares the store', async () => {
    const second = await platform.another();
    for (const api of [platform.api, second.api, platform.api, second.api]) await leftOf(api, '192.0.2.77');
    expect(await leftOf(second.api, '192.0.2.77')).toBe('0');
    await post({ ip: '192.0.2.77' });
    expect(await leftOf(second.api, '192.0.2.77')).toBe('2');
    expect(await leftOf(platform.api, '192.0.2.77')).toBe('1');
  });
});
