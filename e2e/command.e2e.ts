import { statSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { auditEvent, newPerson, type Platform, startPlatform } from './platform.ts';
import { gatehouseFor } from './run-gatehouse.ts';

// The gatehouse command against a running installation.
let platform: Platform;
const { run: gatehouse, done: expectDone, sessions, close } = gatehouseFor(() => platform);

beforeAll(async () => {
  platform = await startPlatform();
});
afterAll(async () => {
  await platform?.close();
  close();
});

describe('the gatehouse command', () => {
  it('says what to do before signing in, and refuses a wrong password, with exit code 1', async () => {
    const early = await gatehouse(['keys', 'list']);
    expect(early.code).toBe(1);
    expect(early.err).toContain('gatehouse login');
    const wrong = await gatehouse(['login', '--email', platform.admin.email], 'not-the-password\n');
    expect(wrong.code).toBe(1);
    expect(wrong.err).toContain('invalid_credentials');
  });

  it('signs in with a piped password and keeps the session in a file of mode 0600', async () => {
    await expectDone(['login', '--email', platform.admin.email], `${platform.admin.password}\n`);
    expect((statSync(sessions).mode & 0o777).toString(8)).toBe('600');
  });

  it('keys list and keys rotate', async () => {
    const before = JSON.parse(await expectDone(['--json', 'keys', 'list']));
    expect(before.map(({ state }: { state: string }) => state)).toEqual(
      expect.arrayContaining(['current', 'next']),
    );
    await expectDone(['keys', 'rotate', '--reason', 'test']);
    await auditEvent(platform, { type: 'token.key.rotation_requested' });
    expect((await gatehouse(['keys', 'rotate'])).code).toBe(2);
  });

  it('admin user set-role, lock, unlock, revoke-sessions: each acts and is audited with its reason', async () => {
    const person = await newPerson(platform.api);
    const by = ['--email', person.email];
    await expectDone(['admin', 'user', 'set-role', ...by, '--role', 'ADMIN', '--reason', 'runs it']);
    const event = await auditEvent(
      platform,
      { type: 'admin.user.role_changed' },
      ({ data }) => data.reason === 'runs it',
    );
    expect(event.data).toMatchObject({ before: 'USER', after: 'ADMIN' });
    expect(await expectDone(['admin', 'user', 'show', '--id', person.user_id])).toContain(person.email);
    await expectDone(['admin', 'user', 'lock', '--id', person.user_id, '--reason', 'left']);
    const refused = await platform.api.post('/api/auth/login', {
      email: person.email,
      password: person.password,
    });
    expect(refused.status).toBe(401);
    await expectDone(['admin', 'user', 'unlock', ...by, '--reason', 'came back']);
    const again = await platform.api.post('/api/auth/login', {
      email: person.email,
      password: person.password,
    });
    expect(again.status).toBe(200);
    await expectDone(['admin', 'user', 'revoke-sessions', ...by, '--reason', 'lost phone']);
    const refreshed = await platform.api.post('/api/auth/refresh', {
      refresh_token: again.body.refresh_token,
    });
    expect(refreshed.status).toBe(401);
  });

  it('migrate status, and down only with consent', async () => {
    expect(await expectDone(['migrate', 'status'])).toContain('applied');
    expect(await expectDone(['migrate', 'up'])).toContain('up to date');
    expect((await gatehouse(['migrate', 'down'])).code).toBe(2);
  });

  it('admin sessions revoke-all asks, counts in a dry run, and ends everybody', async () => {
    const person = await newPerson(platform.api);
    expect((await gatehouse(['admin', 'sessions', 'revoke-all', '--reason', 'x'])).code).toBe(2);
    const dry = JSON.parse(
      await expectDone(['--json', 'admin', 'sessions', 'revoke-all', '--reason', 'x', '--dry-run']),
    );
    expect(dry.count).toBeGreaterThanOrEqual(2);
    await expectDone(['admin', 'sessions', 'revoke-all', '--reason', 'leak', '--yes']);
    expect(
      (await platform.api.post('/api/auth/refresh', { refresh_token: person.refresh_token })).status,
    ).toBe(401);
    const ended = await gatehouse(['keys', 'list']);
    expect(ended.code).toBe(1);
    expect(ended.err).toContain('gatehouse login');
  });

  it('an unknown command or option is exit code 2, an address where nothing listens 1, each in one line', async () => {
    expect((await gatehouse(['nothing'])).code).toBe(2);
    expect((await gatehouse(['keys', 'list', '--nothing'])).code).toBe(2);
    const nowhere = await gatehouse(
      ['--url', 'http://127.0.0.1:9', 'login', '--email', 'a@example.com'],
      'x\n',
    );
    expect(nowhere.code).toBe(1);
    expect(nowhere.err.trim().split('\n')).toHaveLength(1);
    expect(nowhere.err).toContain('cannot be reached');
  });

  it('--help of every command shows what it does', async () => {
    for (const args of [
      ['--help'],
      ['keys', '--help'],
      ['migrate', '--help'],
      ['admin', 'user', '--help'],
      ['admin', 'user', 'set-role', '--help'],
    ])
      expect(await expectDone(args)).toContain('Usage: gatehouse');
  });
});
