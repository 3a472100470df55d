import { configOf } from '@gatehouse/kit';
import { eventually, startPlatform, type TestPlatform, testEnv } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { overall } from './health.ts';
import { gateway } from './service.ts';

const nowhere = 'http://127.0.0.1:9';
const elsewhere = { AUTH_URL: nowhere, TOKEN_URL: nowhere, AUDIT_URL: nowhere, NATS_IDENTITY_URL: nowhere };

describe('the state of the platform', () => {
  const one = (name: string, status: 'healthy' | 'degraded' | 'unhealthy') => ({
    name,
    status,
    latency_ms: 1,
    details: {},
  });

  it('is healthy when everything is, and degraded by whatever people can sign in without', () => {
    expect(overall([one('database', 'healthy'), one('nats', 'healthy')])).toBe('healthy');
    for (const name of ['nats', 'cache', 'audit', 'email'])
      expect(overall([one('database', 'healthy'), one(name, 'unhealthy')]), name).toBe('degraded');
    expect(overall([one('auth', 'degraded')])).toBe('degraded');
  });

  it('is unhealthy without the database, the keys, or the services that sign people in', () => {
    for (const name of ['database', 'signing_keys', 'auth', 'token', 'gateway'])
      expect(overall([one('nats', 'healthy'), one(name, 'unhealthy')]), name).toBe('unhealthy');
  });
});

describe('with NATS away', () => {
  let platform: TestPlatform;
  beforeAll(async () => {
    platform = await startPlatform([gateway], elsewhere);
    await platform.nats.server().stop();
  });
  afterAll(() => platform?.close());

  it('the process lives, is not ready, and says which part is away', async () => {
    await eventually(async () => {
      const ready = await platform.api.get('/health/ready');
      expect(ready.status).toBe(503);
      expect(ready.body.checks).toContainEqual(
        expect.objectContaining({ name: 'nats', status: 'unhealthy' }),
      );
      expect(ready.body.checks).toContainEqual(expect.objectContaining({ name: 'db', status: 'healthy' }));
    });
    expect((await platform.api.get('/health/live')).status).toBe(200);
    const { body } = await platform.api.get('/health');
    expect(body.components).toContainEqual(expect.objectContaining({ name: 'nats', status: 'unhealthy' }));
    // The gateway itself goes on without it.
    expect(body.components).toContainEqual(expect.objectContaining({ name: 'gateway', status: 'degraded' }));
  });

  it('readiness comes back with it', async () => {
    await platform.nats.restart();
    await eventually(async () => expect((await platform.api.get('/health/ready')).status).toBe(200));
  });
});

describe('settings of the gateway', () => {
  const production = {
    ...testEnv({ DATABASE_URL: 'postgres://localhost/x', METRICS_GUARD: 'cidr' }),
    NODE_ENV: 'production',
  };
  const faultsOf = (env: Record<string, string>): string => {
    try {
      configOf([gateway], env);
      return '';
    } catch (error) {
      return (error as Error).message;
    }
  };

  it('production needs the list of origins, and takes none for an answer', () => {
    expect(faultsOf(production)).toContain('CORS_ORIGINS');
    expect(faultsOf({ ...production, CORS_ORIGINS: 'none' })).toBe('');
    expect(faultsOf({ ...production, CORS_ORIGINS: 'https://app.example.com' })).toBe('');
  });

  it('what is no origin is named by its place', () => {
    const wrong = [
      '*',
      'null',
      'https://a.example/',
      'https://A.example',
      'app.example.com',
      'ftp://a.example',
    ];
    for (const text of wrong)
      expect(faultsOf({ ...production, CORS_ORIGINS: `https://ok.example,${text}` }), text).toContain(
        'CORS_ORIGINS: entry 2',
      );
  });
});
