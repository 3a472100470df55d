import { createLog, run } from '@gatehouse/kit';
import {
  goodPassword,
  newEmail,
  startPlatform,
  type TestPlatform,
  testDatabase,
  testEnv,
} from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { auth } from './service.ts';
import { createStandIn } from './token-testing.ts';

const email = newEmail();
const admin = { GATEHOUSE_ADMIN_EMAIL: email, GATEHOUSE_ADMIN_PASSWORD: goodPassword };
let platform: TestPlatform;
const { service } = createStandIn();

beforeAll(async () => {
  platform = await startPlatform([service, auth], admin);
});
afterAll(() => platform?.close());

const administrators = () =>
  platform.database.query<{ email: string }>(
    `select email from auth.user_account where role = 'PLATFORM_ADMIN' order by email`,
  );

describe('the first administrator', () => {
  it('is made at the first start, told, and can sign in', async () => {
    expect(await administrators()).toEqual([{ email }]);
    const { status, body } = await platform.api.post('/api/auth/login', { email, password: goodPassword });
    expect(status).toBe(200);
    const ping = await platform.api.get('/protected/admin/ping', { token: body.access_token });
    expect(ping.status).toBe(200);
    const told = await platform.database.query(
      `select data from auth.outbox where type = 'admin.user.created'`,
    );
    expect(told).toHaveLength(1);
    expect(told[0]?.data).toMatchObject({ actor_id: null, role: 'PLATFORM_ADMIN' });
  });

  it('is not made again by later starts, whatever the settings say', async () => {
    platform = await platform.restart({ GATEHOUSE_ADMIN_EMAIL: newEmail() });
    expect(await administrators()).toEqual([{ email }]);
  });
});

describe('several instances that start at once', () => {
  it('make one', async () => {
    const database = await testDatabase();
    const env = testEnv({ ...admin, DATABASE_URL: database.url, NATS_URL: platform.nats.url });
    const log = createLog({ service: 'test', level: 'silent', pretty: false });
    const instances = await Promise.all(
      [1, 2, 3].map(() => run([createStandIn().service, auth], { env, log })),
    );
    const rows = await database.query(`select email from auth.user_account where role = 'PLATFORM_ADMIN'`);
    await Promise.all(instances.map((instance) => instance.stop()));
    await database.drop();
    expect(rows).toEqual([{ email }]);
  });
});

describe('settings that cannot be used', () => {
  const refusal = async (overrides: Record<string, string>, prepare?: string) => {
    const database = await testDatabase();
    if (prepare) await database.query(prepare);
    const env = testEnv({ ...admin, DATABASE_URL: database.url, NATS_URL: platform.nats.url, ...overrides });
    const outcome = await run([createStandIn().service, auth], {
      env,
      log: createLog({ service: 'test', level: 'silent', pretty: false }),
    }).then(
      (running) => running.stop().then(() => 'started'),
      (error: Error) => error.message,
    );
    await database.drop();
    return outcome;
  };

  it('refuse to start with one line that names the setting and not its value', async () => {
    const weak = await refusal({ GATEHOUSE_ADMIN_PASSWORD: 'password' });
    expect(weak).toMatch(/GATEHOUSE_ADMIN_PASSWORD is too weak: .*commonly used/);
    expect(weak).not.toMatch(/\bpassword$/);
    expect(await refusal({ GATEHOUSE_ADMIN_EMAIL: 'nobody' })).toMatch(
      /GATEHOUSE_ADMIN_EMAIL cannot be used/,
    );
    expect(await refusal({ GATEHOUSE_ADMIN_PASSWORD: '' })).toMatch(/give both or neither/);
    expect(await refusal({ DEFAULT_TENANT_ID: '6f1c9a52-3f0e-4d8e-9c59-0b6f3f6f9f11' })).toMatch(
      /DEFAULT_TENANT_ID names a tenant that does not exist/,
    );
  });

  it('never make an administrator of whoever registered the address before', async () => {
    const taken = `insert into auth.user_account (id, tenant_id, email, password_hash)
      values (gen_random_uuid(), '00000000-0000-7000-8000-000000000001', '${email}', 'x')`;
    expect(await refusal({}, taken)).toMatch(/GATEHOUSE_ADMIN_EMAIL belongs to an account/);
  });
});
