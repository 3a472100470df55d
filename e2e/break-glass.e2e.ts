import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { eventually, goodPassword, newEmail } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask } from './database.ts';
import { auditEvent, newPerson, newTenant, type Platform, signIn, startPlatform } from './platform.ts';
import { gatehouseFor } from './run-gatehouse.ts';

// Nobody can sign in who could administer: the command that needs the password of the database and nothing else.
let platform: Platform;
const { run, json, close } = gatehouseFor(() => platform);

beforeAll(async () => {
  platform = await startPlatform({ env: { PASSWORD_PEPPER: 'p'.repeat(40) } });
});
afterAll(async () => {
  await platform?.close();
  close();
});

const query = (text: string, values: unknown[] = []) => ask(platform.databaseUrl, text, values);

const breakGlass = (email: string, ...more: string[]) =>
  json(['admin', 'break-glass', '--email', email, '--reason', 'incident 42', '--yes', ...more]);

const login = (email: string, password: string, tenant_id?: string) =>
  platform.api.post('/api/auth/login', { email, password, ...(tenant_id && { tenant_id }) });

const told = (user_id: string) => auditEvent(platform, { type: 'admin.break_glass', user_id });

describe('breaking the glass', () => {
  it('restores an administrator who is disabled and locked out: the new password works, old sessions end, all is told', async () => {
    const { email, password } = platform.admin;
    const old = await signIn(platform.api, platform.admin);
    for (let attempt = 0; attempt < 5; attempt += 1) await login(email, 'wrong-password-of-nobody');
    await query(`update auth.user_account set status = 'disabled', role = 'USER' where email = $1`, [email]);
    expect((await login(email, password)).status).toBe(423);

    const result = await breakGlass(email);
    expect(result).toMatchObject({ email, made: false, tenantEnabled: false });
    await eventually(async () => expect((await login(email, result.password)).status).toBe(200));
    expect((await login(email, password)).status).toBe(401);
    await eventually(async () =>
      expect((await platform.api.get('/api/auth/me', { token: old.access_token })).status).toBe(401),
    );
    const anew = { email, password: result.password };
    platform = { ...platform, adminToken: async () => (await signIn(platform.api, anew)).access_token };
    const event = await told(result.userId);
    expect(event.data).toMatchObject({ actor_id: null, reason: 'incident 42', made: false });
    expect(event.data.machine).toContain(`@${hostname()}`);
    expect(event.severity).toBe('critical');
    expect(platform.logs()).toContain('admin.break_glass');
    expect(platform.logs()).not.toContain(result.password);
    const stored = await query(`select data::text from audit.event where type = 'admin.break_glass'`);
    expect(JSON.stringify(stored)).not.toContain(result.password);
  });

  it('makes an administrator while every service is down, who signs in when they are up', async () => {
    const email = newEmail();
    for (const name of platform.services) await platform.stopService(name);
    const result = await breakGlass(email);
    expect(result).toMatchObject({ email, made: true });
    await Promise.all(platform.services.map((name) => platform.startService(name)));
    const { access_token } = await signIn(platform.api, { email, password: result.password });
    expect((await platform.api.get('/api/admin/users?limit=1', { token: access_token })).status).toBe(200);
    expect((await told(result.userId)).data).toMatchObject({ made: true });
    // The first sign-in has renewed the hash with the pepper, which the command never knew.
    await eventually(async () => {
      const [row] = await query('select password_hash from auth.user_account where id = $1', [result.userId]);
      expect(row?.password_hash).toContain(',keyid=');
    });
  });

  it('raises somebody who was an ordinary user, from the next request on', async () => {
    const person = await newPerson(platform.api);
    const result = await breakGlass(person.email);
    const { access_token } = await eventually(() =>
      signIn(platform.api, { email: person.email, password: result.password }),
    );
    expect((await platform.api.get('/protected/admin/ping', { token: access_token })).status).toBe(200);
    expect((await login(person.email, goodPassword)).status).toBe(401);
  });

  it('twice at the same moment leaves one account, told twice, and one password that works', async () => {
    const email = newEmail();
    const results = await Promise.all([breakGlass(email), breakGlass(email)]);
    expect(results.map(({ made }) => made).sort()).toEqual([false, true]);
    expect(results[0].userId).toBe(results[1].userId);
    const answers = await Promise.all(results.map(({ password }) => login(email, password)));
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 401]);
    await eventually(async () => {
      const rows = await query(`select from audit.event where type = 'admin.break_glass' and user_id = $1`, [
        results[0].userId,
      ]);
      expect(rows).toHaveLength(2);
    });
  });

  it('in a disabled tenant is refused with the remedy, and enables it only when told to', async () => {
    const tenant_id = await newTenant(platform);
    const person = await newPerson(platform.api, { tenant_id });
    const token = await platform.adminToken();
    const disabled = await platform.api.request(
      'PATCH',
      `/api/admin/tenants/${tenant_id}`,
      { status: 'disabled', reason: 'test' },
      { token },
    );
    expect(disabled.status, disabled.text).toBe(200);
    const args = [
      'admin',
      'break-glass',
      '--email',
      person.email,
      '--tenant',
      tenant_id,
      '--reason',
      'x',
      '--yes',
    ];
    const refused = await run(args);
    expect([refused.code, refused.err]).toEqual([1, expect.stringContaining('--enable-tenant')]);
    const [row] = await query('select role from auth.user_account where id = $1', [person.user_id]);
    expect(row?.role).toBe('USER');
    const result = await breakGlass(person.email, '--tenant', tenant_id, '--enable-tenant');
    expect(result).toMatchObject({ tenantEnabled: true, made: false });
    await eventually(async () =>
      expect((await login(person.email, result.password, tenant_id)).status).toBe(200),
    );
    await auditEvent(
      platform,
      { type: 'admin.tenant.changed', tenant_id },
      ({ data }) => data.actor_id === null,
    );
  });

  it('without a reason, without a terminal or --yes, of no tenant or no address, is refused and changes nothing', async () => {
    const accounts = () => query('select count(*)::int as count from auth.user_account');
    const before = await accounts();
    const email = newEmail();
    const base = ['admin', 'break-glass', '--email', email];
    expect((await run(base)).code).toBe(2);
    expect((await run([...base, '--reason', ' ', '--yes'])).code).toBe(2);
    expect((await run([...base, '--reason', 'x'])).code).toBe(2);
    const nowhere = await run([...base, '--reason', 'x', '--yes', '--tenant', randomUUID()]);
    expect([nowhere.code, nowhere.err]).toEqual([1, expect.stringContaining('there is no tenant')]);
    const nobody = await run(['admin', 'break-glass', '--email', 'nobody', '--reason', 'x', '--yes']);
    expect(nobody.code).toBe(1);
    expect(await accounts()).toEqual(before);
  });
});
