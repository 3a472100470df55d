import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  findFreePort,
  findNatsServer,
  openBusFiles,
  type RunningServer,
  startNats,
  temporaryHome,
} from '@gatehouse/embedded';
import { createLog, type Running, run } from '@gatehouse/kit';
import { testDatabase, testEnv } from '@gatehouse/kit/testing';
import { type PlatformBus, readPlatformBus } from '@gatehouse/nats-claims';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { natsIdentity } from '../service.ts';

const home = temporaryHome('gatehouse-adopt-');
const files = openBusFiles(join(home.path, 'bus'));
const bundleText = readFileSync(files.bundleFile, 'utf8');
const bus: PlatformBus = readPlatformBus(bundleText);
const lines: string[] = [];
const log = createLog({
  ...{ service: 'test', level: 'info', pretty: false },
  destination: { write: (line: string) => void lines.push(line) },
});
let database: Awaited<ReturnType<typeof testDatabase>>;
let server: RunningServer;
let env: Record<string, string>;
let running: Running[] = [];

const start = async (overrides: Record<string, string> = {}) => {
  running.push(await run([natsIdentity], { env: { ...env, ...overrides }, log }));
};
const stop = async () => {
  await Promise.all(running.map((one) => one.stop()));
  running = [];
};
const rows = <T extends object>(text: string, values: unknown[] = []) => database.query<T>(text, values);
const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1);
const one = async <T extends object>(text: string, values: unknown[] = []) =>
  (await rows<T>(text, values))[0] as T;

beforeAll(async () => {
  database = await testDatabase();
  server = await startNats({
    home: join(home.path, 'nats'),
    binary: findNatsServer().path,
    config: files.config,
  });
  env = testEnv({
    DATABASE_URL: database.url,
    NATS_URL: server.url,
    NATS_CREDS: files.credsFolder,
    NATS_BUS_BUNDLE: files.bundleFile,
  });
});
afterAll(async () => {
  await stop();
  await server?.stop();
  await database?.drop();
  home.remove();
});

describe('the platform’s own bus', () => {
  it('is taken over once by two instances that start together, with the very JWTs that its server has', async () => {
    await Promise.all([start(), start()]);
    expect(existsSync(files.bundleFile)).toBe(false);
    const operators = await rows<{ own: boolean; open_to_tenants: boolean; jwt: string }>(
      'select own, open_to_tenants, jwt from natsid.operator',
    );
    expect(operators).toEqual([{ own: true, open_to_tenants: true, jwt: bus.operator.jwt }]);
    const accounts = await rows('select name, kind, tenant_id, jwt from natsid.account order by name');
    expect(accounts).toEqual([
      { name: 'GATEHOUSE', kind: 'platform', tenant_id: null, jwt: bus.account.jwt },
      { name: 'SYS', kind: 'system', tenant_id: null, jwt: bus.system_account.jwt },
    ]);
    const { system } = await one<{ system: string }>(
      'select a.name as system from natsid.operator o join natsid.account a on a.id = o.system_account_id',
    );
    expect(system).toBe('SYS');
    const users = await rows(
      `select u.name, k.role_name, c.jti is not null as issued from natsid.nats_user u
        join natsid.account_key k on k.id = u.role_id join natsid.credential c on c.user_id = u.id order by u.name`,
    );
    expect(users).toEqual(
      bus.account.users.map(({ name }) => ({ name, role_name: name, issued: true })).toSorted(byName),
    );
    const clusters = await rows('select own, servers from natsid.cluster');
    expect(clusters).toEqual([{ own: true, servers: [server.url] }]);
  });

  it('keeps every private key sealed, and shows none in an event or a line of the log', async () => {
    const seeds = [
      ...[bus.operator, bus.system_account].flatMap(({ seed, signing_seed }) => [seed, signing_seed]),
      bus.account.seed,
      ...[...bus.account.roles, ...bus.account.users].map(({ seed }) => seed),
    ];
    const { count } = await one<{ count: number }>(
      `select count(*)::int as count from natsid.secret where kind <> 'canary'`,
    );
    expect(count).toBe(seeds.length);
    const events = JSON.stringify(await rows('select * from natsid.outbox'));
    expect(events).toContain('natsid.cluster.created');
    const dump = JSON.stringify(await rows('select * from natsid.secret'));
    for (const seed of seeds)
      for (const text of [events, dump, lines.join('')]) expect(text).not.toContain(seed);
  });

  it('a file that is still there after a crash changes nothing and goes', async () => {
    await stop();
    writeFileSync(files.bundleFile, bundleText, { mode: 0o600 });
    await start();
    expect(existsSync(files.bundleFile)).toBe(false);
    expect(await rows('select id from natsid.operator')).toHaveLength(1);
    expect(await rows('select id from natsid.nats_user')).toHaveLength(bus.account.users.length);
  });

  it('a file that cannot be read keeps nobody from starting', async () => {
    await stop();
    writeFileSync(files.bundleFile, bundleText.slice(0, -20), { mode: 0o600 });
    await start();
    expect(existsSync(files.bundleFile)).toBe(true);
    expect(lines.some((line) => line.includes('NATS_BUS_BUNDLE cannot be read'))).toBe(true);
  });

  it('follows its server to another port, and leaves further servers that an administrator added', async () => {
    await stop();
    await server.stop();
    const port = await findFreePort();
    const config = { home: join(home.path, 'nats'), binary: findNatsServer().path, config: files.config };
    server = await startNats({ ...config, port });
    await start({ NATS_URL: server.url });
    expect(await one('select servers from natsid.cluster')).toEqual({ servers: [server.url] });
    const further = [server.url, 'nats://127.0.0.1:4'];
    await rows('update natsid.cluster set servers = $1', [further]);
    await stop();
    await start({ NATS_URL: server.url });
    expect(await one('select servers from natsid.cluster')).toEqual({ servers: further });
  });

  it('gives its roles what a newer release needs, and only then issues the account anew', async () => {
    await stop();
    await start({ NATS_URL: server.url });
    const jwt = 'select jwt, jwt_iat from natsid.account where kind = $1';
    expect(await one(jwt, ['platform'])).toMatchObject({ jwt: bus.account.jwt });
    await rows(`update natsid.account_key set scope = jsonb_set(scope, '{template,pub,allow}', '["auth.>"]')
      where role_name = 'auth'`);
    await stop();
    await start({ NATS_URL: server.url });
    const { scope } = await one<{ scope: { template: unknown } }>(
      `select scope from natsid.account_key where role_name = 'auth'`,
    );
    expect(scope.template).toEqual(bus.account.roles.find(({ name }) => name === 'auth')?.template);
    const { jwt: newer } = await one<{ jwt: string }>(jwt, ['platform']);
    expect(newer).not.toBe(bus.account.jwt);
    const told = await rows(`select data from natsid.outbox where type = 'natsid.role.changed'`);
    expect(told).toHaveLength(1);
  });
});
