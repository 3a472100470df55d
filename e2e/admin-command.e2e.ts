import { eventually, newEmail } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { auditEvent, newPerson, type Platform, startPlatform } from './platform.ts';
import { gatehouseFor } from './run-gatehouse.ts';

// gatehouse admin user … and gatehouse admin tenant …, against a running installation.
let platform: Platform;
const { run: gatehouse, done, json, close } = gatehouseFor(() => platform);
beforeAll(async () => {
  platform = await startPlatform();
  await done(['login', '--email', platform.admin.email], `${platform.admin.password}\n`);
});
afterAll(async () => {
  await platform?.close();
  close();
});

const because = ['--reason', 'a test'];
const signIn = (email: string, password: string, tenant_id?: string) =>
  platform.api.post('/api/auth/login', { email, password, ...(tenant_id && { tenant_id }) });
const audited = (type: string, userId: string) =>
  auditEvent(platform, { type }, ({ data }) => data.user_id === userId && data.reason === 'a test');

describe('gatehouse admin user', () => {
  it('create makes an account with a password of its own, shown once, or with the one that is piped in', async () => {
    const email = newEmail();
    const said = await done(['admin', 'user', 'create', '--email', email, '--role', 'support', ...because]);
    const password = /shown this once: (\S+)/.exec(said)?.[1] ?? '';
    expect((await signIn(email, password)).status).toBe(200);
    const quiet = await done(['--quiet', 'admin', 'user', 'create', '--email', newEmail(), ...because]);
    expect(quiet).toMatch(/^\S{29}\n$/);
    const piped = newEmail();
    const own = 'a password of its own';
    const answer = await json(
      ['admin', 'user', 'create', '--email', piped, '--name', 'Anna', '--ask', ...because],
      `${own}\n`,
    );
    expect(answer).toMatchObject({ email: piped, name: 'Anna', role: 'USER', initial_password: null });
    expect((await signIn(piped, own)).status).toBe(200);
    const event = await audited('admin.user.created', answer.user_id);
    expect(event.data).toMatchObject({ email: piped, role: 'USER' });
    const weak = await gatehouse(
      ['admin', 'user', 'create', '--email', newEmail(), '--ask', ...because],
      'password\n',
    );
    expect([weak.code, weak.err]).toEqual([1, expect.stringContaining('weak_password')]);
  });

  it('list and show find users by the beginning of the address, role and status', async () => {
    const person = await newPerson(platform.api);
    const found = await json(['admin', 'user', 'list', '--search', person.email.slice(0, 20)]);
    expect(found.map(({ user_id }: { user_id: string }) => user_id)).toEqual([person.user_id]);
    expect(await json(['admin', 'user', 'list', '--role', 'auditor'])).toEqual([]);
    expect(await done(['admin', 'user', 'list', '--status', 'active'])).toContain(person.email);
    expect(await json(['admin', 'user', 'show', '--email', person.email])).toMatchObject({
      user_id: person.user_id,
      failed_sign_ins: 0,
    });
    const nobody = await gatehouse(['admin', 'user', 'show', '--email', newEmail()]);
    expect([nobody.code, nobody.err]).toEqual([1, expect.stringContaining('there is no user')]);
    expect((await gatehouse(['admin', 'user', 'show'])).code).toBe(2);
  });

  it('activate lets in whoever is locked, locked out or disabled; reset-lockout lifts the lockout only', async () => {
    const person = await newPerson(platform.api);
    const by = ['--id', person.user_id];
    const state = async () => (await json(['admin', 'user', 'show', ...by])) as Record<string, unknown>;
    for (const verb of ['lock', 'disable']) {
      await done(['admin', 'user', verb, ...by, ...because]);
      expect((await signIn(person.email, person.password)).status).toBe(401);
      await done(['admin', 'user', 'activate', ...by, ...because]);
      expect((await signIn(person.email, person.password)).status).toBe(200);
    }
    for (let attempt = 0; attempt < 5; attempt += 1) await signIn(person.email, 'WrongPassword123');
    expect((await signIn(person.email, person.password)).status).toBe(423);
    expect(await state()).toMatchObject({ failed_sign_ins: 5, locked_until: expect.any(String) });
    await done(['admin', 'user', 'lock', ...by, ...because]);
    await done(['admin', 'user', 'reset-lockout', ...by, ...because]);
    expect(await state()).toMatchObject({ status: 'locked', failed_sign_ins: 0, locked_until: null });
    await done(['admin', 'user', 'disable', ...by, ...because]);
    await done(['admin', 'user', 'enable', ...by, ...because]);
    expect((await signIn(person.email, person.password)).status).toBe(200);
    expect((await gatehouse(['admin', 'user', 'lock', ...by])).code).toBe(2);
  });

  it('delete asks, and leaves nobody to sign in and nobody to find', async () => {
    const person = await newPerson(platform.api);
    const by = ['--email', person.email, ...because];
    expect((await gatehouse(['admin', 'user', 'delete', ...by])).code).toBe(2);
    expect((await signIn(person.email, person.password)).status).toBe(200);
    expect(await done(['admin', 'user', 'delete', ...by, '--yes'])).toContain(`${person.email}: deleted`);
    expect((await signIn(person.email, person.password)).status).toBe(401);
    const { refresh_token } = person;
    expect((await platform.api.post('/api/auth/refresh', { refresh_token })).status).toBe(401);
    expect((await gatehouse(['admin', 'user', 'show', '--id', person.user_id])).code).toBe(1);
    const event = await audited('admin.user.deleted', person.user_id);
    expect(event.data).toMatchObject({ before: { role: 'USER', status: 'active' } });
    const last = await gatehouse([
      ...['admin', 'user', 'delete', '--email', platform.admin.email, '--yes'],
      ...because,
    ]);
    expect([last.code, last.err]).toEqual([1, expect.stringContaining('last_administrator')]);
  });
});

describe('gatehouse admin tenant', () => {
  it('create, list, show, rename, set-policy, disable and enable, by name and by id', async () => {
    const name = `Shop ${newEmail()}`;
    const made = await json(['admin', 'tenant', 'create', '--name', name, '--policy', 'invite', ...because]);
    expect(made).toMatchObject({ name, status: 'active', registration: 'invite' });
    const id = made.tenant_id as string;
    expect(await json(['admin', 'tenant', 'list', '--search', name])).toMatchObject([{ tenant_id: id }]);
    expect(await json(['admin', 'tenant', 'show', '--tenant', name.toUpperCase()])).toMatchObject(made);
    await done(['admin', 'tenant', 'set-policy', '--tenant', name, '--policy', 'open', ...because]);
    await done(['admin', 'tenant', 'rename', '--tenant', name, '--name', `${name} & Co`, ...because]);
    const person = await newPerson(platform.api, { tenant_id: id });
    expect((await gatehouse(['admin', 'tenant', 'disable', '--tenant', id, ...because])).code).toBe(2);
    await done(['admin', 'tenant', 'disable', '--tenant', id, '--yes', ...because]);
    expect((await signIn(person.email, person.password, id)).status).toBe(401);
    await done(['admin', 'tenant', 'enable', '--tenant', id, ...because]);
    expect((await signIn(person.email, person.password, id)).status).toBe(200);
    expect(await json(['admin', 'tenant', 'show', '--tenant', id])).toMatchObject({
      name: `${name} & Co`,
      status: 'active',
      registration: 'open',
    });
    const nobody = await gatehouse(['admin', 'tenant', 'show', '--tenant', name]);
    expect([nobody.code, nobody.err]).toEqual([1, expect.stringContaining('there is no tenant')]);
  });

  it('delete waits, can be cancelled, and takes users and NATS accounts with it when its time has come', async () => {
    const made = await json([
      'admin',
      'tenant',
      'create',
      '--name',
      newEmail(),
      '--policy',
      'open',
      ...because,
    ]);
    const id = made.tenant_id as string;
    const person = await newPerson(platform.api, { tenant_id: id });
    const account = await json([...['account', 'create', 'theirs', '--tenant', id, ...because]]);
    const remove = ['admin', 'tenant', 'delete', '--tenant', id, ...because];
    expect((await gatehouse(remove)).code).toBe(2);
    expect(await done([...remove, '--yes'])).toContain('it will be deleted at');
    const enable = await gatehouse(['admin', 'tenant', 'enable', '--tenant', id, ...because]);
    expect([enable.code, enable.err]).toEqual([1, expect.stringContaining('conflict')]);
    await done(['admin', 'tenant', 'cancel-deletion', '--tenant', id, ...because]);
    expect(await json(['admin', 'tenant', 'show', '--tenant', id])).toMatchObject({
      status: 'disabled',
      delete_after: null,
    });
    await done([...remove, '--delay-days', '0', '--yes']);
    await eventually(async () => {
      const shown = await gatehouse(['admin', 'tenant', 'show', '--tenant', id]);
      expect([shown.code, shown.err]).toEqual([1, expect.stringContaining('not_found')]);
    }, 30_000);
    expect((await gatehouse(['admin', 'user', 'show', '--id', person.user_id])).code).toBe(1);
    const event = await auditEvent(
      platform,
      { type: 'admin.tenant.deleted' },
      ({ tenant_id }) => tenant_id === id,
    );
    expect(event.data).toMatchObject({ name: made.name, users: 1 });
    await eventually(
      async () => expect(await json(['account', 'get', account.id])).toMatchObject({ state: 'deleted' }),
      30_000,
    );
  });
});
