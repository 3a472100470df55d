import { run } from '@gatehouse/kit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Administered, PLATFORM_ADMIN, startAdministered } from './administration-testing.ts';
import { gateway } from './service.ts';

let platform: Administered;
let token: string;
beforeAll(async () => {
  platform = await startAdministered({
    METRICS_GUARD_SECRET: 'canary-metrics-guard',
    PASSWORD_PEPPER: 'canary-pepper-canary-pepper-canary-pepper',
    OTEL_EXPORTER_OTLP_ENDPOINT: '',
    ACCESS_TOKEN_TTL_SECONDS: '600',
  });
  token = await platform.accessToken(PLATFORM_ADMIN);
});
afterAll(() => platform?.close());
const settings = async (query = '') => platform.api.get(`/api/admin/settings${query}`, { token });

interface Item {
  readonly name: string;
  readonly secret: boolean;
  readonly readings: {
    services: string[];
    set: boolean;
    source: string;
    value: string | null;
    host: string | null;
  }[];
}
const named = (items: Item[], name: string) => items.find((one) => one.name === name);

describe('the settings in force', () => {
  it('are those of every process that answers, with where they come from; who is silent is named', async () => {
    const { status, body, text } = await settings();
    expect(status, text).toBe(200);
    expect(body.unreachable).toEqual(['nats-identity']);
    expect(named(body.items, 'ACCESS_TOKEN_TTL_SECONDS')).toEqual({
      ...{
        name: 'ACCESS_TOKEN_TTL_SECONDS',
        kind: expect.any(String),
        secret: false,
        default: '900',
        drift: false,
      },
      readings: [
        {
          services: expect.arrayContaining(['gateway', 'auth', 'token', 'audit']),
          ...{ set: true, source: 'environment', value: '600', host: null },
        },
      ],
    });
    expect(named(body.items, 'REFRESH_IDLE_TTL_SECONDS')?.readings).toEqual([
      { services: ['token'], set: false, source: 'default', value: '1209600', host: null },
    ]);
    // Two processes, two ports: that is no drift.
    expect(named(body.items, 'AUTH_URL')).toMatchObject({ drift: false, readings: [{}, {}] });
    const own = await settings('?service=token');
    expect(own.body.unreachable).toEqual([]);
    expect(named(own.body.items, 'CORS_ORIGINS')).toBeUndefined();
    expect((await settings('?service=nobody')).status).toBe(400);
  });

  it('never show a secret, or a part of one', async () => {
    const { body, text } = await settings();
    const secrets: Item[] = body.items.filter(({ secret }: Item) => secret);
    expect(secrets.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['GATEHOUSE_SECRET', 'ENCRYPTION_KEYS', 'DATABASE_URL', 'PASSWORD_PEPPER']),
    );
    for (const { name, readings } of secrets) {
      const given = platform.env[name];
      for (const { set, value } of readings)
        expect({ name, set, value }).toEqual({ name, set: given !== undefined && given !== '', value: null });
      if (given !== undefined && given !== '') expect(text).not.toContain(given);
    }
    const { password, host } = new URL(platform.env.NATS_URL ?? '');
    expect(password.length).toBeGreaterThan(5);
    expect(text).not.toContain(password);
    expect(named(body.items, 'NATS_URL')?.readings[0]?.host).toBe(host);
    expect(text).not.toContain('canary');
  });

  it('show drift between processes', async () => {
    const { body } = await settings();
    expect(body.items.filter(({ drift }: { drift: boolean }) => drift)).toEqual([]);
    const other = await startAdministered();
    try {
      const env = { ...other.env, ACCESS_TOKEN_TTL_SECONDS: '1200' };
      const drifted = await run([gateway], { env });
      const root = await other.accessToken(PLATFORM_ADMIN);
      const answer = await fetch(`${drifted.url}/api/admin/settings`, {
        headers: { authorization: `Bearer ${root}` },
      });
      const { items } = (await answer.json()) as { items: (Item & { drift: boolean })[] };
      await drifted.stop();
      expect(items.filter(({ drift }) => drift).map(({ name }) => name)).toEqual([
        'ACCESS_TOKEN_TTL_SECONDS',
      ]);
    } finally {
      await other.close();
    }
  });
});
