import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { services } from '@gatehouse/all-in-one';
import { findRedisServer, startRedis } from '@gatehouse/embedded';
import {
  eventually,
  startPlatform,
  type TestDatabase,
  type TestPlatform,
  testDatabase,
  testNats,
} from '@gatehouse/kit/testing';
import { migrateDown } from '@gatehouse/schema';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Check } from './check.ts';
import { judgeClusters } from './clusters.ts';
import { skew } from './database.ts';
import { examine } from './examine.ts';

const home = mkdtempSync(join(tmpdir(), 'gatehouse-doctor-'));
afterAll(() => rmSync(home, { recursive: true, force: true }));
const nowhere = 'http://127.0.0.1:9';

type Environment = Record<string, string>;
const look = (env: Environment, url = nowhere) =>
  examine(url, { GATEHOUSE_HOME: join(home, 'none'), ...env });

/** The check of that name; where several share it, the gravest. */
function named(checks: readonly Check[], name: string): Check {
  const order = ['failed', 'warning', 'ok', 'skipped'];
  const [found] = checks
    .filter((check) => check.name === name)
    .toSorted((a, b) => order.indexOf(a.status) - order.indexOf(b.status));
  if (found === undefined)
    throw new Error(`no check ${name} among ${checks.map((one) => one.name).join(', ')}`);
  return found;
}

/** Everything that is not well says what to do. */
function allHaveRemedies(checks: readonly Check[]): void {
  const unwell = checks.filter(({ status }) => status === 'warning' || status === 'failed');
  expect(unwell.filter(({ remedy }) => remedy === null)).toEqual([]);
}

describe('an installation that is well', () => {
  let platform: TestPlatform;
  beforeAll(async () => {
    platform = await startPlatform(services);
  }, 60_000);
  afterAll(() => platform?.close());

  it('has nothing that failed and nothing to warn of', async () => {
    const found = await examine(platform.url, { ...platform.env, GATEHOUSE_HOME: join(home, 'none') });
    expect(found.filter(({ status }) => status === 'failed' || status === 'warning')).toEqual([]);
    expect(found.map(({ name }) => name)).toEqual(
      expect.arrayContaining([
        'settings',
        'database.migrations',
        'outbox',
        'keys.signing',
        'nats.streams',
        'health',
      ]),
    );
  });

  it('with a ring of other values under the same names: failed, before anything is sealed under them', async () => {
    const other = `k1:${randomBytes(32).toString('base64url')}`;
    const found = await examine(platform.url, { ...platform.env, ENCRYPTION_KEYS: other });
    expect(named(found, 'keys.encryption')).toMatchObject({
      status: 'failed',
      finding: expect.stringContaining('not the keys that the platform knows by these names: k1'),
    });
  });

  it('with a ring that lacks a key that records need: failed, with how many', async () => {
    const found = await examine(platform.url, {
      ...platform.env,
      ENCRYPTION_KEYS: `k2:${randomBytes(32).toString('base64url')}`,
      ENCRYPTION_CURRENT_KEY_ID: 'k2',
    });
    const check = named(found, 'keys.encryption');
    expect(check).toMatchObject({ status: 'failed', finding: expect.stringContaining('lacks k1') });
    expect(check.details.join()).toMatch(/k1: [1-9]\d* records? cannot be read/);
  });

  it('with a key in the ring that nothing needs: a warning', async () => {
    const found = await examine(platform.url, {
      ...platform.env,
      ENCRYPTION_KEYS: `${platform.env.ENCRYPTION_KEYS},k9:${randomBytes(32).toString('base64url')}`,
    });
    expect(named(found, 'keys.encryption')).toMatchObject({
      status: 'warning',
      finding: expect.stringContaining('no record needs k9'),
    });
  });

  it('after a sign-in from another place, without settings, tells what its administration tells', async () => {
    vi.stubEnv('GATEHOUSE_SESSION_FILE', join(home, 'sessions.json'));
    vi.stubEnv('GATEHOUSE_TOKEN', 'no-token');
    const found = await look({}, platform.url);
    vi.unstubAllEnvs();
    expect(named(found, 'settings').status).toBe('skipped');
    expect(named(found, 'database').status).toBe('skipped');
    expect(named(found, 'health').status).toBe('ok');
    expect(named(found, 'login')).toMatchObject({ status: 'warning', remedy: 'gatehouse login' });
  });

  it('whose NATS has gone: failed, and what waits in the outbox is told', async () => {
    await platform.nats.server().stop();
    const found = await examine(platform.url, { ...platform.env });
    expect(named(found, 'nats')).toMatchObject({
      status: 'failed',
      finding: expect.stringContaining('nothing answers at 127.0.0.1'),
      remedy: expect.stringContaining('start nats-server'),
    });
    allHaveRemedies(found);
    await eventually(async () => {
      const health = named(await look({}, platform.url), 'health');
      expect(health).toMatchObject({
        status: 'warning',
        details: expect.arrayContaining([expect.stringMatching(/^nats: /)]),
      });
    });
    await platform.nats.restart();
  });
});

describe('a database', () => {
  let database: TestDatabase;
  beforeEach(async () => {
    database = await testDatabase();
  });
  afterEach(() => database.drop());
  const ofDatabase = (more: Environment = {}) => look({ DATABASE_URL: database.url, ...more });

  it('that lacks migrations: failed, with their names and the command', async () => {
    const [undone] = await migrateDown(database.url);
    expect(named(await ofDatabase(), 'database.migrations')).toMatchObject({
      status: 'failed',
      finding: expect.stringContaining(`pending: ${undone?.name}`),
      remedy: 'gatehouse migrate up',
    });
  });

  it('of a newer release: failed', async () => {
    await database.query(
      "insert into gatehouse.kysely_migration values ('9999-future', '2099-01-01T00:00:00Z')",
    );
    expect(named(await ofDatabase(), 'database.migrations')).toMatchObject({
      status: 'failed',
      finding: expect.stringContaining('9999-future'),
      remedy: expect.stringContaining('newer release'),
    });
  });

  it('that is not there, or does not listen: failed, in words', async () => {
    const gone = new URL(database.url);
    gone.pathname = '/nobody_made_this';
    expect(named(await look({ DATABASE_URL: gone.href }), 'database')).toMatchObject({
      status: 'failed',
      finding: expect.stringContaining('does not exist'),
    });
    expect(
      named(await look({ DATABASE_URL: 'postgres://u:hunter2@127.0.0.1:1/x' }), 'database'),
    ).toMatchObject({
      status: 'failed',
      finding: expect.stringContaining('nothing listens'),
      remedy: expect.stringContaining('start Postgres'),
    });
  });

  it('that was set to read only: failed', async () => {
    await database.query(
      `do $$ begin execute format('alter database %I set default_transaction_read_only = on', current_database()); end $$`,
    );
    expect(named(await ofDatabase(), 'database.writable').status).toBe('failed');
  });

  it.each([
    ['2 minutes', 'warning'],
    ['10 minutes', 'failed'],
  ])('with an event that has waited %s to be published: %s, and whose it is', async (age, status) => {
    await event('auth', `now() - interval '${age}'`);
    const check = named(await ofDatabase(), 'outbox');
    expect(check.status).toBe(status);
    expect(check.details.join()).toMatch(/^auth: 1, the oldest for/);
  });

  it('with an event that audit has not confirmed for ten minutes: a warning', async () => {
    await event('token', "now() - interval '10 minutes'");
    await database.query('update token.outbox set published_at = occurred_at');
    expect(named(await ofDatabase(), 'outbox.unconfirmed').status).toBe('warning');
    expect(named(await ofDatabase(), 'outbox').status).toBe('ok');
  });

  it('with dead letters: a warning with consumer, type and reason', async () => {
    await database.query(
      `insert into audit.dead_letter (consumer, type, subject, payload, reason, deliveries)
       values ('audit-record', 'auth.lockout', 'auth.lockout', '', 'not JSON', 5)`,
    );
    const check = named(await ofDatabase(), 'dead_letters');
    expect(check).toMatchObject({
      status: 'warning',
      details: ['audit-record: 1 of auth.lockout: not JSON'],
    });
    await database.query('update audit.dead_letter set discarded_at = now()');
    expect(named(await ofDatabase(), 'dead_letters').status).toBe('ok');
  });

  it('without a key that signs: failed', async () => {
    expect(named(await ofDatabase(), 'keys.signing')).toMatchObject({
      status: 'failed',
      finding: expect.stringContaining('nobody can sign in'),
    });
  });

  it.each([
    ["'current', now(), null", 'there is no next key'],
    [
      "'current', now() - interval '200 days', null), ('n', 'RS256', '{}', 'next', null, null",
      'does not run',
    ],
    [
      "'current', now(), null), ('n', 'RS256', '{}', 'next', null, null), ('p', 'RS256', '{}', 'previous', null, now() - interval '1 day'",
      'does not run',
    ],
  ])('with signing keys %s: a warning', async (rows, finding) => {
    await database.query(
      `insert into token.signing_key (kid, algorithm, public_jwk, state, activated_at, retires_at) values ('c', 'RS256', '{}', ${rows})`,
    );
    expect(named(await ofDatabase(), 'keys.signing')).toMatchObject({
      status: 'warning',
      finding: expect.stringContaining(finding),
    });
  });

  it.each([
    ['10 minutes', 'warning'],
    ['2 hours', 'failed'],
  ])('with records that no checkpoint has covered for %s: %s', async (age, status) => {
    await database.query(
      `insert into audit.chain (chain, sequence, hash, recorded_at, dropped_hash)
       values ('platform', 5, '\\x00', now() - interval '${age}', '\\x00')`,
    );
    expect(named(await ofDatabase(), 'audit.checkpoint')).toMatchObject({
      status,
      finding: expect.stringContaining('there is none yet'),
    });
  });

  it('whose audit lacks a checkpoint that was kept outside: failed, until somebody has acknowledged it', async () => {
    await database.query(
      "insert into audit.fault (id, cause, detail, note) values (gen_random_uuid(), 'rolled_back', 'd', 'n')",
    );
    const check = named(await ofDatabase(), 'audit.faults');
    expect(check).toMatchObject({ status: 'failed', details: [expect.stringMatching(/Z: rolled_back$/)] });
    await database.query(
      "update audit.fault set acknowledged_at = now(), acknowledged_by = 'a', reason = 'r'",
    );
    expect(named(await ofDatabase(), 'audit.faults').status).toBe('ok');
  });

  it('without a place for the events of next month: a warning', async () => {
    await database.query(
      `do $$ begin execute 'drop table audit.event_' || to_char((now() at time zone 'UTC') + interval '1 month', 'YYYYMM'); end $$`,
    );
    expect(named(await ofDatabase(), 'audit.partitions').status).toBe('warning');
  });

  it('is not changed by being looked at', async () => {
    const counts = `select (select sum(n_tup_ins + n_tup_upd + n_tup_del) from pg_stat_xact_all_tables)::text as x,
      (select count(*) from auth.outbox) as o, (select count(*) from gatehouse.kysely_migration) as m`;
    const before = await database.query(counts);
    await ofDatabase();
    expect(await database.query(counts)).toEqual(before);
  });

  function event(service: string, at: string) {
    return database.query(
      `insert into ${service}.outbox (id, type, subject, aggregate, data, occurred_at)
       values (gen_random_uuid(), 't', 't', 'a', '{}', ${at})`,
    );
  }
});

describe('a bus', () => {
  it('without the streams, and with a login that is refused: failed', async () => {
    const nats = await testNats();
    const empty = await look({ NATS_URL: nats.url });
    expect(named(empty, 'nats').status).toBe('ok');
    expect(named(empty, 'nats.streams')).toMatchObject({
      status: 'failed',
      finding: expect.stringMatching(/^GATEHOUSE_EVENTS: is not there/),
    });
    expect(named(empty, 'nats.consumers').status).toBe('failed');
    const wrong = new URL(nats.url);
    wrong.password = 'hunter2';
    expect(named(await look({ NATS_URL: wrong.href }), 'nats')).toMatchObject({
      status: 'failed',
      finding: expect.stringContaining('refuses the login'),
    });
    const noCreds = await look({ NATS_URL: nats.url, NATS_CREDS: join(home, 'none.creds') });
    expect(named(noCreds, 'nats.credentials').status).toBe('failed');
    await nats.close();
  });
});

describe('a Redis', () => {
  it('that answers is ok; one that refuses the login, or is away, has failed', async () => {
    const { path, libraryPath } = findRedisServer();
    const server = await startRedis({
      home: join(home, 'redis'),
      binary: path,
      libraryPath,
      password: 'right',
    });
    const at = (password: string) =>
      look({
        NATS_URL: 'nats://127.0.0.1:1',
        RATE_LIMIT_REDIS_URL: `redis://:${password}@127.0.0.1:${server.port}`,
      });
    expect(named(await at('right'), 'redis').status).toBe('ok');
    expect(named(await at('hunter2'), 'redis')).toMatchObject({
      status: 'failed',
      finding: expect.stringContaining('refuses the login'),
    });
    await server.stop();
    expect(named(await at('right'), 'redis')).toMatchObject({
      status: 'failed',
      finding: expect.stringContaining('nothing answers'),
    });
  });
});

describe('the public address', () => {
  let server: Server;
  let answer: { status: number; body: unknown; ahead: number };
  let url: string;
  beforeAll(async () => {
    server = createServer((_request, response) => {
      response.sendDate = false;
      response.writeHead(answer.status, {
        'content-type': 'application/json',
        date: new Date(Date.now() + answer.ahead * 1000).toUTCString(),
      });
      response.end(JSON.stringify(answer.body));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => server.close());
  const well = { status: 'healthy', version: '0.1.0', uptime_seconds: 60, components: [] };

  it.each([
    [0, 'ok'],
    [10, 'warning'],
    [-10, 'warning'],
    [300, 'failed'],
  ])('whose clock is %i s off: %s', async (ahead, status) => {
    answer = { status: 200, body: well, ahead };
    expect(named(await look({}, url), 'health.clock').status).toBe(status);
  });

  it('that reports a part unwell passes it on, with the part', async () => {
    const components = [{ name: 'nats', status: 'unhealthy', details: { reason: 'timeout' } }];
    answer = { status: 200, body: { ...well, status: 'degraded', components }, ahead: 0 };
    expect(named(await look({}, url), 'health')).toMatchObject({
      status: 'warning',
      details: ['nats: unhealthy {"reason":"timeout"}'],
    });
    answer = { status: 503, body: { ...well, status: 'unhealthy', components }, ahead: 0 };
    expect(named(await look({}, url), 'health').status).toBe('failed');
  });

  it('that runs another release is a warning; something else than Gatehouse has failed; so has nobody', async () => {
    answer = { status: 200, body: { ...well, version: '9.9.9' }, ahead: 0 };
    expect(named(await look({}, url), 'health.version').status).toBe('warning');
    answer = { status: 200, body: ['hello'], ahead: 0 };
    expect(named(await look({}, url), 'health').status).toBe('failed');
    expect(named(await look({}, 'http://127.0.0.1:1'), 'health')).toMatchObject({
      status: 'failed',
      finding: expect.stringContaining('cannot be reached'),
    });
  });
});

describe('settings and the home', () => {
  it('every fault of the settings is told, and no value', async () => {
    const found = await look({
      DATABASE_URL: 'mysql://hunter2',
      GATEHOUSE_SECRET: 'hunter2',
      PORT: 'hunter2',
    });
    const check = named(found, 'settings');
    expect(check.status).toBe('failed');
    expect(check.details.join('\n')).toMatch(
      /DATABASE_URL[\s\S]*GATEHOUSE_SECRET|GATEHOUSE_SECRET[\s\S]*DATABASE_URL/,
    );
    expect(JSON.stringify(found)).not.toContain('hunter2');
    allHaveRemedies(found);
  });

  it('an npm start that has ended, or has lost a process, is told with its log', async () => {
    const folder = join(home, 'started');
    mkdirSync(folder);
    writeFileSync(join(folder, 'secrets.json'), '{}', { mode: 0o600 });
    const start = async () => named(await look({ GATEHOUSE_HOME: folder }), 'start');
    expect(await start()).toMatchObject({
      status: 'warning',
      remedy: expect.stringContaining('gatehouse.log'),
    });
    const gone = spawnSync(process.execPath, ['-e', '']).pid;
    const stack = (services: number) =>
      writeFileSync(
        join(folder, 'stack.json'),
        JSON.stringify({ pids: { launcher: process.pid, services } }),
      );
    stack(process.pid);
    expect((await start()).status).toBe('ok');
    stack(gone);
    expect(await start()).toMatchObject({
      status: 'failed',
      finding: expect.stringContaining(`services (process ${gone})`),
    });
  });

  it('secrets of the home that others may read: a warning with the command', async () => {
    const folder = join(home, 'open');
    mkdirSync(folder);
    writeFileSync(join(folder, 'secrets.json'), '{}');
    chmodSync(join(folder, 'secrets.json'), 0o644);
    const found = await look({ GATEHOUSE_HOME: folder });
    expect(named(found, 'disk').finding).toMatch(/GiB free at/);
    expect(named(found, 'disk.secrets')).toMatchObject({
      status: 'warning',
      remedy: `chmod go= ${join(folder, 'secrets.json')}`,
    });
  });
});

it('nothing that can be secret is shown, however much is broken', async () => {
  const found = await look({
    DATABASE_URL: 'postgres://user:hunter2@127.0.0.1:1/x',
    NATS_URL: 'nats://user:hunter2@127.0.0.1:1',
    RATE_LIMIT_REDIS_URL: 'redis://:hunter2@127.0.0.1:1',
    GATEHOUSE_SECRET: 'hunter2'.repeat(8),
    ENCRYPTION_KEYS: 'k1:hunter2hunter2hunter2hunter2hunter2hunter2hu=',
    ENCRYPTION_CURRENT_KEY_ID: 'k1',
  });
  expect(found.filter(({ status }) => status === 'failed').length).toBeGreaterThanOrEqual(4);
  expect(JSON.stringify(found)).not.toContain('hunter2');
  allHaveRemedies(found);
});

it('a clock is judged by what the way there leaves open', () => {
  const span = { before: 1_000_000, after: 1_000_400, of: 'Postgres' };
  expect(skew('c', 1_000_200, span).status).toBe('ok');
  expect(skew('c', 1_002_000, span).status).toBe('ok');
  expect(skew('c', 1_004_000, span)).toMatchObject({
    status: 'warning',
    finding: expect.stringContaining('ahead'),
  });
  expect(skew('c', 996_000, span)).toMatchObject({
    status: 'warning',
    finding: expect.stringContaining('behind'),
  });
  expect(skew('c', 1_100_000, span).status).toBe('failed');
});

it('a cluster that is not well is named with its causes', () => {
  const unwell = { name: 'main', healthy: false, causes: ['s3 does not answer'], warnings: [], unproven: 2 };
  const soon = { name: 'other', healthy: true, causes: [], warnings: ['creds end soon'] };
  const well = { name: 'well', healthy: true, causes: [], warnings: [] };
  expect(judgeClusters([well]).status).toBe('ok');
  expect(judgeClusters([unwell, soon, well])).toMatchObject({
    status: 'warning',
    details: [
      'main: s3 does not answer',
      'main: 2 accounts not proven on every server',
      'other: creds end soon',
    ],
    remedy: 'gatehouse cluster health main',
  });
});
