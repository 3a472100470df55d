import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newPerson, type Platform, startPlatform } from './platform.ts';
import { gatehouseFor } from './run-gatehouse.ts';

// What every command has from its frame, against a running installation.
let platform: Platform;
const { run: gatehouse, done: expectDone, json, sessions, close } = gatehouseFor(() => platform);

beforeAll(async () => {
  platform = await startPlatform();
});
afterAll(async () => {
  await platform?.close();
  close();
});

const login = (args: readonly string[] = []) =>
  expectDone([...args, 'login', '--email', platform.admin.email], `${platform.admin.password}\n`);

describe('the frame of the command', () => {
  it('whoami says who, where, with which roles and until when', async () => {
    await login();
    const me = await json(['whoami']);
    expect(me).toMatchObject({ url: platform.url, profile: null, email: platform.admin.email });
    expect(me.roles).toContain('PLATFORM_ADMIN');
    expect(Date.parse(me.token_expires_at)).toBeGreaterThan(Date.now());
    expect(Date.parse(me.session_expires_at)).toBeGreaterThan(Date.parse(me.token_expires_at));
    expect(await expectDone(['whoami'])).toContain(platform.admin.email);
  });

  it('two profiles of one installation are two sign-ins: one ends, the other stays', async () => {
    const person = await newPerson(platform.api);
    for (const name of ['operations', 'person']) await expectDone(['profile', 'add', name, platform.url]);
    await login(['--profile', 'operations']);
    await expectDone(['--profile', 'person', 'login', '--email', person.email], `${person.password}\n`);
    expect((await json(['--profile', 'operations', 'whoami'])).email).toBe(platform.admin.email);
    expect((await json(['--profile', 'person', 'whoami'])).email).toBe(person.email);
    await expectDone(['--profile', 'person', 'logout']);
    expect((await gatehouse(['--profile', 'person', 'whoami'])).code).toBe(1);
    expect((await json(['--profile', 'operations', 'whoami'])).email).toBe(platform.admin.email);
    expect((statSync(join(sessions, '../profiles.json')).mode & 0o777).toString(8)).toBe('600');
  });

  it('two commands at once with a token that has ended both get through, and the session lives on', async () => {
    await login();
    const kept = JSON.parse(readFileSync(sessions, 'utf8'));
    const expired = { ...kept[platform.url], expires_at: 0 };
    writeFileSync(sessions, JSON.stringify({ ...kept, [platform.url]: expired }));
    const ran = await Promise.all([1, 2, 3].map(() => gatehouse(['keys', 'list'])));
    expect(ran.map(({ code }) => code)).toEqual([0, 0, 0]);
    expect((await json(['whoami'])).email).toBe(platform.admin.email);
  });

  it('a session file that others may read is closed to them again', async () => {
    chmodSync(sessions, 0o644);
    await expectDone(['whoami']);
    expect((statSync(sessions).mode & 0o777).toString(8)).toBe('600');
  });

  it('an error is one line of JSON with --json: the problem’s own code and the trace id', async () => {
    const { code, out, err } = await gatehouse([
      '--json',
      'admin',
      'user',
      'show',
      '--id',
      '00000000-0000-7000-8000-00000000dead',
    ]);
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(JSON.parse(err)).toMatchObject({
      code: 'not_found',
      status: 404,
      exit_code: 1,
      trace_id: expect.stringMatching(/^[0-9a-f]{32}$/),
    });
  });

  it('migrate version and up-by-one say where the database is', async () => {
    expect(await json(['migrate', 'version'])).toMatchObject({ pending: 0, unknown: 0 });
    expect(await expectDone(['migrate', 'up-by-one'])).toContain('up to date');
    expect((await gatehouse(['migrate', 'down-to', '1'])).code).toBe(2);
    expect((await gatehouse(['migrate', 'down-to', '77', '--yes'])).err).toContain('no migration 77');
  });

  it('doctor finds nothing wrong with an installation that is well: where the services run, and from elsewhere', async () => {
    const there = gatehouseFor(
      () => platform,
      () => platform.env,
    );
    const whole = await there.json(['doctor']);
    expect(whole.checks.filter(unwell)).toEqual([]);
    expect(whole.summary.ok).toBeGreaterThan(15);
    there.close();

    const token = await platform.adminToken();
    const elsewhere = gatehouseFor(
      () => platform,
      () => ({ DATABASE_URL: '', GATEHOUSE_TOKEN: token, GATEHOUSE_HOME: '/nowhere' }),
    );
    const remote = await elsewhere.json(['doctor']);
    const ok = remote.checks.filter(({ status }: Check) => status === 'ok').map(({ name }: Check) => name);
    expect(ok.sort()).toEqual(
      [
        'clusters',
        'dead_letters',
        'health',
        'health.clock',
        'keys.encryption',
        'keys.signing',
        'login',
      ].sort(),
    );
    expect(remote.checks.filter(unwell)).toEqual([]);
    elsewhere.close();
  });

  it('doctor ends with 1 when something has failed, and says what to do', async () => {
    const broken = gatehouseFor(
      () => platform,
      () => ({
        ...platform.env,
        DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none',
        DATABASE_DIRECT_URL: '',
      }),
    );
    const { code, out } = await broken.run(['doctor', '--quiet']);
    expect(code).toBe(1);
    expect(out).toMatch(/^failed +database +nothing listens at the database address/m);
    expect(out).toMatch(/→ start Postgres/);
    expect(out).not.toMatch(/^ok /m);
    broken.close();
  });
});

interface Check {
  readonly name: string;
  readonly status: string;
}

const unwell = ({ status }: Check) => status === 'failed' || status === 'warning';
