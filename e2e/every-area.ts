import { eventually, newEmail } from '@gatehouse/kit/testing';
import { expect } from 'vitest';
import { expectProblem, newPerson, newTenant, type Person, type Platform } from './platform.ts';

/** Settings under which few requests are enough: of registrations for a limit, of seconds for a replay. */
export const withinReach = {
  RATE_LIMIT_ENABLED: 'true',
  RATE_LIMIT_LOGIN_MAX: '1000',
  RATE_LIMIT_LOGIN_ACCOUNT_MAX: '1000',
  RATE_LIMIT_REGISTER_MAX: '12',
  RATE_LIMIT_ADMIN_MAX: '1000',
  REFRESH_REUSE_GRACE_SECONDS: '1',
} as const;

/**
 * Something of everything that the platform does, so that everything that it measures has been measured. Prometheus tells
 * a rate by two readings of one series: there is a scrape after each round, and one round more than instances, so that
 * some instance has done each thing twice.
 */
export async function useEveryArea(platform: Platform, scraped: () => Promise<void>): Promise<void> {
  const rounds = platform.instances.length / platform.services.length + 1;
  for (let round = 1; round <= rounds; round += 1) {
    const [ada, bob] = [await newPerson(platform.api), await newPerson(platform.api)];
    await Promise.all([
      signInBadly(platform, ada),
      refresh(platform, bob),
      useNats(platform, `round-${round}`),
    ]);
    await administer(platform, ada);
    await registerAgain(platform, ada);
    await scraped();
  }
  await registerTooOften(platform);
}

/** Wrong until the account is locked. */
async function signInBadly({ api }: Platform, { email }: Person): Promise<void> {
  const wrong = () => api.post('/api/auth/login', { email, password: 'WrongPassword123' });
  for (let attempt = 1; attempt < 5; attempt += 1) expect((await wrong()).status).toBe(401);
  await eventually(async () => expect((await wrong()).status).toBe(423));
}

/** On and on, once more with a token that was just spent, and with one that was spent long ago. */
async function refresh({ api }: Platform, person: Person): Promise<void> {
  const { access_token: token } = person;
  expect((await api.get('/api/auth/me', { token })).status).toBe(200);
  const spend = (refresh_token: string) => api.post('/api/auth/refresh', { refresh_token });
  const second = await spend(person.refresh_token);
  expect(second.status, second.text).toBe(200);
  await spend(person.refresh_token);
  await spend(second.body.refresh_token);
  await eventually(async () => expect((await spend(person.refresh_token)).status).toBe(401));
  expectProblem(await spend('A'.repeat(43)), 401, 'invalid_refresh_token');
  expect((await api.get('/.well-known/jwks.json')).status).toBe(200);
}

/** An account with a user, on the platform's own bus. */
async function useNats(platform: Platform, name: string): Promise<void> {
  const token = await platform.adminToken();
  const post = async (path: string, body: unknown) => {
    const answer = await platform.api.post(`/api/nats${path}`, body, { token });
    expect(answer.status, answer.text).toBe(201);
    return answer.body;
  };
  const account = await post('/accounts', { name });
  const user = await post('/users', { account_id: account.id, name: 'shop' });
  await post(`/users/${user.id}/credentials`, { ttl_seconds: 3_600 });
  await eventually(async () => {
    const { body } = await platform.api.get(`/api/nats/accounts?q=${name}`, { token });
    expect(body.items[0].sync).toMatchObject([{ state: 'in_sync' }]);
  }, 30_000);
}

/** A lock that is lifted, a tenant, and a look at what is recorded of it. */
async function administer(platform: Platform, { user_id, email }: Person): Promise<void> {
  const token = await platform.adminToken();
  const about = { reason: 'a test' };
  const unlocked = await platform.api.post(`/api/admin/users/${user_id}/unlock`, about, { token });
  expect(unlocked.status, unlocked.text).toBe(200);
  await newTenant(platform);
  await eventually(async () => {
    const { body } = await platform.api.get(`/api/audit/events?user_id=${user_id}&type=auth.lockout`, {
      token,
    });
    expect(body.items, email).toHaveLength(2);
  }, 30_000);
}

/** With an address that is taken. */
async function registerAgain({ api }: Platform, { email, password }: Person): Promise<void> {
  expect((await api.post('/api/auth/register', { email, password })).status).toBe(409);
}

/** More than one address may. */
async function registerTooOften({ api }: Platform): Promise<void> {
  const register = () => api.post('/api/auth/register', { email: newEmail(), password: 'short' });
  await eventually(async () => expectProblem(await register(), 429, 'rate_limited'));
}
