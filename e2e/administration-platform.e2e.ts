import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '@gatehouse/kit/testing';
import { headers } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectWith } from './nats-client.ts';
import { auditEvent, mode, newPerson, type Platform, startPlatform } from './platform.ts';
import { gatehouseFor } from './run-gatehouse.ts';

// What an operator does besides users and tenants, by command: dead letters, limits, settings, sessions, sign-ins.
const TTL = '777';
let platform: Platform;
let canary: string;
const gatehouse = gatehouseFor(() => platform);
const { run, done, json } = gatehouse;

beforeAll(async () => {
  canary = `canary-${randomUUID()}`;
  platform = await startPlatform({
    redis: true,
    env: {
      ...{ RATE_LIMIT_ENABLED: 'true', RATE_LIMIT_LOGIN_MAX: '500', RATE_LIMIT_REGISTER_MAX: '500' },
      ...{ RATE_LIMIT_REFRESH_MAX: '2', RATE_LIMIT_LOGIN_ACCOUNT_MAX: '4', AUTH_LOGIN_MAX_ATTEMPTS: '100' },
      ...{ METRICS_GUARD_SECRET: canary, ACCESS_TOKEN_TTL_SECONDS: TTL, LOG_LEVEL: 'warn' },
    },
  });
  await done(['login', '--email', platform.admin.email], `${platform.admin.password}\n`);
});
afterAll(async () => {
  await platform?.close();
  gatehouse.close();
});

describe('dead letters', () => {
  /** What auth would say if it said nonsense: its consumer can never read it. */
  async function nonsense(): Promise<string> {
    const creds = readFileSync(join(platform.env.NATS_CREDS ?? '', 'auth.creds'), 'utf8');
    const { nc, close } = await connectWith(platform, creds);
    const about = headers();
    const id = randomUUID();
    about.set('ce-id', id);
    about.set('ce-type', 'auth.login.success');
    nc.publish('auth.login.success', 'no json', { headers: about });
    await nc.flush();
    await close();
    return id;
  }

  it('are listed and shown by command, and a replay that cannot work says why', async () => {
    expect(await json(['dead-letters', 'list'])).toEqual([]);
    const eventId = await nonsense();
    const [letter] = await eventually(async () => {
      const found = await json(['dead-letters', 'list']);
      if (found.length === 0) throw new Error('none yet');
      return found;
    });
    expect(letter).toMatchObject({
      service: 'audit',
      consumer: 'audit-record',
      reason: 'the payload is not JSON',
    });
    expect(await done(['dead-letters', 'show', letter.id])).toContain(eventId);
    const refused = await run(['dead-letters', 'replay', letter.id, '--reason', 'try']);
    expect([refused.code, refused.err]).toEqual([1, expect.stringContaining('unreadable')]);
    const all = ['dead-letters', 'replay', '--all', '--consumer', 'audit-record', '--reason', 'try'];
    expect((await run(all)).code).toBe(2);
    const refusedAll = await run([...all, '--yes']);
    expect([refusedAll.code, refusedAll.err]).toEqual([1, expect.stringContaining(letter.id)]);
    expect((await run(['dead-letters', 'replay', '--reason', 'x'])).code).toBe(2);
    expect(await json(['dead-letters', 'list', '--replayed', 'true'])).toEqual([]);
  });

  it('that can never be taken are discarded by command, one or all, and stay to be looked at', async () => {
    const [first] = await json(['dead-letters', 'list']);
    const one = ['dead-letters', 'discard', first.id, '--reason', 'it never was an event'];
    const unasked = await run(one);
    expect([unasked.code, unasked.err]).toEqual([2, expect.stringContaining('--yes')]);
    expect(await done([...one, '--yes'])).toContain('no longer waits for audit-record');
    const again = await run([...one, '--yes']);
    expect([again.code, again.err]).toEqual([1, expect.stringContaining('already_discarded')]);
    await nonsense();
    await eventually(async () => expect(await json(['dead-letters', 'list'])).toHaveLength(1));
    const all = ['dead-letters', 'discard', '--all', '--service', 'audit', '--reason', 'none was an event'];
    expect((await run(all)).code).toBe(2);
    const discarded = await json([...all, '--yes']);
    expect(discarded).toEqual({ discarded: [expect.any(String)], failed: [] });
    expect(await json(['dead-letters', 'list'])).toEqual([]);
    expect(await json(['dead-letters', 'list', '--state', 'discarded'])).toHaveLength(2);
    expect((await run(['dead-letters', 'list', '--state', 'open', '--replayed', 'any'])).code).toBe(2);
    const audited = await auditEvent(platform, { type: 'admin.dead_letter.discarded' });
    expect(audited.data.reason).toMatch(/an event$/);
  });
});

describe('rate limits', () => {
  it('are set back for an address and for an account, with the reason in the audit', async () => {
    const person = await newPerson(platform.api);
    const refresh = async () =>
      (await platform.api.post('/api/auth/refresh', { refresh_token: 'A'.repeat(43) })).status;
    expect([await refresh(), await refresh(), await refresh()]).toEqual([401, 401, 429]);
    const answer = await json([
      'rate-limit',
      'reset',
      '--ip',
      '127.0.0.1',
      '--scope',
      'refresh',
      '--reason',
      'a test',
    ]);
    expect(answer).toEqual({ of: 'address', scopes: ['refresh'], counters: 1, reach: 'every_instance' });
    expect([await refresh(), await refresh(), await refresh()]).toEqual([401, 401, 429]);
    await done(['rate-limit', 'reset', '--network', '127.0.0.0/24', '--reason', 'a test']);

    const { email } = person;
    const signIn = async () =>
      (await platform.api.post('/api/auth/login', { email, password: 'WrongPassword123' })).status;
    expect([await signIn(), await signIn(), await signIn(), await signIn()]).toEqual([401, 401, 401, 429]);
    await done(['rate-limit', 'reset', '--user', email, '--reason', 'asked by phone']);
    expect(await signIn()).toBe(401);
    const event = await auditEvent(
      platform,
      { type: 'admin.rate_limit.reset' },
      ({ data }) => data.reason === 'asked by phone',
    );
    expect(event).toMatchObject({ tenant_id: person.tenant_id, data: { of: 'user', email } });
    expect((await run(['rate-limit', 'reset', '--reason', 'x'])).code).toBe(2);
  });
});

describe('the settings in force', () => {
  it('are those of the processes, and no secret of them is shown', async () => {
    const items = await json(['settings']);
    const named = (name: string) => items.find((one: { name: string }) => one.name === name);
    expect(named('ACCESS_TOKEN_TTL_SECONDS').readings).toEqual([
      {
        services: ['gateway', 'auth', 'token', 'nats-identity', 'audit'],
        ...{ set: true, source: 'environment', value: TTL, host: null },
      },
    ]);
    expect(items.filter(({ drift }: { drift: boolean }) => drift)).toEqual([]);
    if (mode === 'split') expect(named('PORT').readings.length).toBeGreaterThan(1);
    const text = JSON.stringify(items) + (await done(['settings']));
    const secrets = items.filter(({ secret }: { secret: boolean }) => secret);
    expect(secrets.length).toBeGreaterThan(8);
    for (const { name } of secrets) {
      const given = platform.env[name];
      if (given !== undefined && given !== '') expect(text.includes(given), name).toBe(false);
    }
    expect(text).not.toContain(canary);
    expect(await done(['settings', '--service', 'token', '--given'])).toContain('ACCESS_TOKEN_TTL_SECONDS');
  });
});

describe('sessions', () => {
  it('are listed, ended one by one, of a user, and cleared when expired', async () => {
    const person = await newPerson(platform.api);
    const user = ['--user', person.email];
    const [session] = await json(['admin', 'sessions', 'list', ...user]);
    expect(session).toMatchObject({ session_id: person.session_id, state: 'live', client_ip: '127.0.0.1' });
    await done(['admin', 'sessions', 'revoke', person.session_id, '--reason', 'lost phone']);
    const [ended] = await json(['admin', 'sessions', 'list', ...user, '--state', 'ended']);
    expect(ended).toMatchObject({ state: 'revoked', revoked_reason: 'lost phone' });
    expect((await platform.api.get('/api/auth/me', { token: person.access_token })).status).toBe(401);
    const again = await platform.api.post('/api/auth/login', {
      email: person.email,
      password: person.password,
    });
    expect(again.status).toBe(200);
    const all = ['admin', 'sessions', 'revoke-all', ...user, '--reason', 'x'];
    expect(await json([...all, '--dry-run'])).toEqual({ count: 1 });
    expect((await run(all)).code).toBe(2);
    expect(await json([...all, '--yes'])).toEqual({ count: 1 });
    expect(await json(['admin', 'sessions', 'clear-expired'])).toEqual({ count: 0, refresh_tokens: 0 });
    await auditEvent(platform, { type: 'admin.sessions.cleared' });
  });
});

describe('sign-ins', () => {
  it('are shown of a user and of everybody, and failures counted by reason', async () => {
    const person = await newPerson(platform.api);
    const { email } = person;
    await platform.api.post('/api/auth/login', { email, password: 'WrongPassword123' });
    const events = ['admin', 'user', 'login-events'];
    const seen = await eventually(async () => {
      const found = await json([...events, '--email', email, '--since', '1h']);
      if (found.length < 2) throw new Error('not yet');
      return found;
    });
    expect(seen).toMatchObject([
      { outcome: 'failure', email, reason: 'wrong_password', client_ip: '127.0.0.1' },
      { outcome: 'success', email, user_id: person.user_id, session_id: person.session_id },
    ]);
    expect(await json([...events, '--id', person.user_id, '--failed'])).toHaveLength(1);
    const { items } = await json([...events, '--by-reason', '--since', '1h']);
    expect(items[0].count).toBeGreaterThanOrEqual(1);
    expect(items.map(({ reason }: { reason: string }) => reason)).toContain('wrong_password');
    expect(await done([...events, '--by-reason'])).toContain('wrong_password');
    expect((await run([...events, '--since', 'yesterday'])).code).toBe(2);
    expect((await run([...events, '--by-reason', '--email', email])).code).toBe(2);
  });
});
