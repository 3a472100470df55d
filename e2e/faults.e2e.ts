import { readFileSync } from 'node:fs';
import { eventually, goodPassword, newEmail } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { auditEvent, mode, newPerson, type Platform, signIn, startPlatform } from './platform.ts';
import { expectNothingLost, progress, startTraffic } from './traffic.ts';

// What the issue calls survival: parts stop, restart or are killed in the middle of traffic.
let platform: Platform;

beforeAll(async () => {
  platform = await startPlatform({
    ownPostgres: true,
    redis: true,
    env: {
      RATE_LIMIT_ENABLED: 'true',
      RATE_LIMIT_REFRESH_MAX: '1000000',
      RATE_LIMIT_DEFAULT_MAX: '1000000',
      RATE_LIMIT_LOGIN_MAX: '1000000',
      RATE_LIMIT_REGISTER_MAX: '1000000',
      RATE_LIMIT_ADMIN_MAX: '1000000',
      REFRESH_REUSE_GRACE_SECONDS: '60',
    },
  });
});
afterAll(() => platform?.close());

const seedsIn = ({ services, nats }: Platform) =>
  services.map((name) => /^SU[A-Z2-7]{56}$/m.exec(readFileSync(nats.credsOf(name), 'utf8'))?.[0] ?? '');

const componentOf = async (name: string) => {
  const { body } = await platform.api.get('/health');
  return body.components.find((component: { name: string }) => component.name === name)?.status;
};

describe('faults', () => {
  it('NATS killed during traffic: register, login, refresh and JWKS go on; every event arrives once', async () => {
    const traffic = await startTraffic(platform, 4);
    await progress(traffic, 20);
    await platform.nats.kill();
    const person = await newPerson(platform.api);
    expect((await platform.api.get('/.well-known/jwks.json')).status).toBe(200);
    await progress(traffic, 40);
    await eventually(async () => expect(await componentOf('nats')).not.toBe('healthy'));
    expect((await platform.api.get('/health')).body.status).toBe('degraded');
    // A guarded route still knows who is revoked: it asks the database.
    expect((await platform.api.get('/api/auth/me', { token: person.access_token })).status).toBe(200);
    await platform.api.post('/api/auth/logout', undefined, { token: person.access_token });
    await eventually(async () =>
      expect((await platform.api.get('/api/auth/me', { token: person.access_token })).status).toBe(401),
    );
    await platform.nats.start();
    await eventually(async () => expect(await componentOf('nats')).toBe('healthy'), 30_000);
    await traffic.stop();
    expect(traffic.refreshers.flatMap(({ refused }) => refused)).toEqual([]);
    await expectNothingLost(platform, traffic);
    await auditEvent(platform, { type: 'auth.register.success', user_id: person.user_id });
  });

  it('Postgres restarted: quick 503 meanwhile, recovery without help, nothing acknowledged lost', async () => {
    const traffic = await startTraffic(platform, 4);
    await progress(traffic, 20);
    await platform.postgres.kill();
    const begun = performance.now();
    const answer = await platform.api.post('/api/auth/refresh', { refresh_token: 'A'.repeat(43) });
    expect(answer.status).toBe(503);
    expect(performance.now() - begun).toBeLessThan(8000);
    expect((await platform.api.get('/health/live')).status).toBe(200);
    await platform.postgres.start();
    await progress(traffic, 40);
    await traffic.stop();
    expect(traffic.refreshers.flatMap(({ refused }) => refused).filter((status) => status !== 503)).toEqual(
      [],
    );
    await expectNothingLost(platform, traffic);
  });

  it('Redis stopped: limits go on in memory, health says degraded, one event an episode', async () => {
    const traffic = await startTraffic(platform, 2);
    await progress(traffic, 10);
    await platform.redis.stop();
    await progress(traffic, 20);
    await eventually(async () => expect((await platform.api.get('/health')).body.status).toBe('degraded'));
    expect((await platform.api.get('/health/ready')).status).toBe(200);
    await platform.redis.start();
    await eventually(
      async () => expect((await platform.api.get('/health')).body.status).toBe('healthy'),
      30_000,
    );
    await traffic.stop();
    expect(traffic.refreshers.flatMap(({ refused }) => refused)).toEqual([]);
    await auditEvent(platform, { type: 'security.rate_limit_store' }, ({ data }) => data.state === 'lost');
  });

  for (const name of mode === 'one' ? ['all-in-one'] : ['token', 'auth', 'audit', 'gateway'])
    it(`${name} killed with -9 in the middle of traffic: nothing acknowledged lost, no event lost or doubled`, async () => {
      const traffic = await startTraffic(platform, 4);
      for (let round = 0; round < 3; round += 1) {
        await progress(traffic, 20);
        await platform.killService(name);
        await platform.startService(name);
      }
      await progress(traffic, 20);
      await traffic.stop();
      await expectNothingLost(platform, traffic);
      const email = newEmail();
      expect((await platform.api.post('/api/auth/register', { email, password: goodPassword })).status).toBe(
        201,
      );
      await signIn(platform.api, { email, password: goodPassword });
    });

  it('an orderly stop in the middle of traffic leaves every event', async () => {
    const traffic = await startTraffic(platform, 4);
    await progress(traffic, 20);
    for (const name of platform.services) await platform.stopService(name);
    await Promise.all(platform.services.map((name) => platform.startService(name)));
    await progress(traffic, 20);
    await traffic.stop();
    await expectNothingLost(platform, traffic);
  });

  it('no secret that these specs used stands in any log', async () => {
    const person = await newPerson(platform.api);
    await platform.api.post('/api/auth/login', { email: person.email, password: 'WrongPassword-secret' });
    const logs = platform.logs();
    expect(logs.length).toBeGreaterThan(0);
    const secrets = [
      platform.admin.password,
      person.password,
      'WrongPassword-secret',
      person.access_token,
      person.refresh_token,
      platform.env.GATEHOUSE_SECRET ?? '',
      platform.env.ENCRYPTION_KEYS?.split(':')[1] ?? '',
      new URL(platform.databaseUrl).password,
      ...seedsIn(platform),
    ];
    for (const secret of secrets) {
      expect(secret.length).toBeGreaterThan(8);
      expect(logs.includes(secret)).toBe(false);
    }
  });
});
