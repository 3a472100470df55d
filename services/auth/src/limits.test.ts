import { eventually, goodPassword, newEmail } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startAuth, type TestAuth } from './testing.ts';

describe('the limit of an account', () => {
  let auth: TestAuth;
  beforeAll(async () => {
    auth = await startAuth({
      RATE_LIMIT_ENABLED: 'true',
      RATE_LIMIT_LOGIN_ACCOUNT_MAX: '4',
      AUTH_LOGIN_MAX_ATTEMPTS: '100',
    });
  });
  afterAll(() => auth?.close());

  it.each([['known'], ['unknown']])(
    'lets four sign-ins a window through to an %s address, parallel or not',
    async (kind) => {
      const email = kind === 'known' ? (await auth.person()).email : newEmail();
      const left = kind === 'known' ? 3 : 4;
      const answers = await Promise.all(
        Array.from({ length: 12 }, () => auth.login(email, 'WrongPassword123')),
      );
      const refused = answers.filter(({ status }) => status === 429);
      expect(refused).toHaveLength(12 - left);
      expect(Number(refused[0]?.headers.get('retry-after'))).toBeGreaterThan(800);
      expect(refused[0]?.body.code).toBe('rate_limited');
      expect(await auth.told('auth.login.failure', { email, reason: 'rate_limited' })).toHaveLength(
        12 - left,
      );
    },
  );

  it('is told once a window, and counts each account for itself', async () => {
    const before = (await auth.told('security.rate_limited')).length;
    const email = newEmail();
    for (let attempt = 0; attempt < 8; attempt += 1) await auth.login(email, 'WrongPassword123');
    expect(await auth.told('security.rate_limited', { scope: 'login', limit: 4 })).toHaveLength(before + 1);
    expect((await auth.login(newEmail(), 'WrongPassword123')).status).toBe(401);
  });
});

describe('hashes that nobody has a place for', () => {
  let auth: TestAuth;
  beforeAll(async () => {
    auth = await startAuth({
      MAX_CONCURRENT_HASHES: '1',
      ARGON2_MEMORY_KIB: '65536',
      ARGON2_ITERATIONS: '3',
    });
  });
  afterAll(() => auth?.close());

  it('are refused quickly, counted by operation, and told at most once a second', async () => {
    const { email } = await auth.person();
    const begun = performance.now();
    const { api } = auth.platform;
    const signIns = await Promise.all(Array.from({ length: 30 }, () => auth.login(email)));
    const registrations = await Promise.all(
      Array.from({ length: 10 }, () =>
        api.post('/api/auth/register', { email: newEmail(), password: goodPassword }),
      ),
    );
    const seconds = (performance.now() - begun) / 1000;
    const busy = [...signIns, ...registrations].filter(({ status }) => status === 503);
    expect(busy.length).toBeGreaterThan(25);
    expect(busy[0]?.body.code).toBe('hash_busy');
    expect(Number(busy[0]?.headers.get('retry-after'))).toBeGreaterThanOrEqual(1);
    await eventually(async () => {
      const told = await auth.told('auth.hash_busy');
      const sum = told.reduce((total, { data }) => total + (data.count as number), 0);
      expect(sum).toBe(busy.length);
      expect(told.length).toBeLessThanOrEqual(seconds + 3);
    });
    const page = await auth.platform.metrics.registry.metrics();
    expect(page).toMatch(/auth_register_total\{result="hash_busy"\} \d/);
    expect(page).toMatch(/auth_login_total\{result="hash_busy",strategy="password"\} \d/);
  });
});
