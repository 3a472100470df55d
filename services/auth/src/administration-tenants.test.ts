import { randomUUID } from 'node:crypto';
import { eventually, goodPassword, newEmail } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Person, startAuth, type TestAuth } from './testing.ts';

let auth: TestAuth;
let root: Person;
beforeAll(async () => {
  auth = await startAuth();
  root = await auth.person({ role: 'PLATFORM_ADMIN' });
});
afterAll(() => auth?.close());

const because = { reason: 'a test' };
const codeOf = ({ status, body }: { status: number; body?: { code?: string } }) => [status, body?.code];
const statusOf = async (path: string, token: string) => (await auth.platform.api.get(path, { token })).status;
const get = (path: string, by = root) => auth.platform.api.get(path, { token: by.token });
const make = (body: object, by = root) =>
  auth.platform.api.post('/api/admin/tenants', body, { token: by.token });
const patch = (id: string, body: object) =>
  auth.platform.api.request('PATCH', `/api/admin/tenants/${id}`, body, { token: root.token });
const newTenant = async (about: object = {}): Promise<string> => {
  const answer = await make({ name: 'Shop', registration: 'open', ...about, ...because });
  expect(answer.status, answer.text).toBe(201);
  return answer.body.tenant_id;
};

describe('tenants', () => {
  it('are made closed, with the id given, once, and told to token', async () => {
    const id = randomUUID();
    const answer = await make({ id, name: 'Shop', ...because });
    expect(answer.status).toBe(201);
    expect(answer.body).toMatchObject({
      tenant_id: id,
      name: 'Shop',
      status: 'active',
      registration: 'closed',
    });
    expect(auth.token.tenants.get(id)).toEqual({ status: 'active', version: 1 });
    expect(codeOf(await make({ id, name: 'Shop', ...because }))).toEqual([409, 'tenant_id_taken']);
    expect(codeOf(await make({ name: 'Shop' }))).toEqual([400, 'reason_required']);
    expect(codeOf(await make({ name: '', ...because }))).toEqual([400, 'invalid_request']);
    expect(await auth.told('admin.tenant.created', { registration: 'closed', name: 'Shop' })).toHaveLength(1);
    const admin = await auth.person({ role: 'ADMIN' });
    expect(codeOf(await make({ name: 'Shop', ...because }, admin))).toEqual([403, 'forbidden']);
  });

  it('that are disabled lose every session at once and sign nobody in, until enabled', async () => {
    const tenantId = (await make({ name: 'Shop', registration: 'open', ...because })).body.tenant_id;
    const person = await auth.person({ tenantId });
    const answer = await patch(tenantId, { status: 'disabled', ...because });
    expect(answer.body).toMatchObject({ status: 'disabled' });
    expect(auth.token.live(person.userId)).toEqual([]);
    await eventually(async () => expect(await statusOf('/api/auth/me', person.token)).toBe(401));
    expect((await auth.login(person.email, goodPassword, tenantId)).status).toBe(401);
    expect((await patch(tenantId, { status: 'active', ...because })).status).toBe(200);
    expect((await auth.login(person.email, goodPassword, tenantId)).status).toBe(200);
    const told = await auth.told('admin.tenant.changed', { actor_id: root.userId });
    expect(told.map(({ data }) => [data.before, data.after])).toEqual([
      [
        { name: 'Shop', status: 'active', registration: 'open' },
        { name: 'Shop', status: 'disabled', registration: 'open' },
      ],
      [
        { name: 'Shop', status: 'disabled', registration: 'open' },
        { name: 'Shop', status: 'active', registration: 'open' },
      ],
    ]);
  });

  it('that nobody made are 404', async () => {
    expect(codeOf(await patch(randomUUID(), { registration: 'open', ...because }))).toEqual([
      404,
      'not_found',
    ]);
  });
});

describe('a tenant', () => {
  it('is shown, found by the beginning of its name, and renamed with an event', async () => {
    const name = `Zebra ${randomUUID()}`;
    const id = await newTenant({ name });
    expect((await get(`/api/admin/tenants/${id.toUpperCase()}`)).body).toMatchObject({
      tenant_id: id,
      name,
      delete_after: null,
    });
    expect(codeOf(await get(`/api/admin/tenants/${randomUUID()}`))).toEqual([404, 'not_found']);
    const found = async (query: string) =>
      (await get(`/api/admin/tenants?${query}`)).body.items.map((item: { name: string }) => item.name);
    expect(await found(`q=${encodeURIComponent(name.toUpperCase())}`)).toEqual([name]);
    expect(await found('q=%25')).toEqual([]);
    expect(await found(`q=zebra&status=disabled`)).toEqual([]);
    const renamed = await patch(id, { name: 'Okapi', ...because });
    expect(renamed.body).toMatchObject({ name: 'Okapi', status: 'active', registration: 'open' });
    expect((await patch(id, { name: 'Okapi', ...because })).status).toBe(200);
    expect(codeOf(await patch(id, { name: '\u001b[2J', ...because }))).toEqual([400, 'invalid_request']);
    expect(codeOf(await patch(id, { name: 'Gnu' }))).toEqual([400, 'reason_required']);
    const told = (await auth.told('admin.tenant.changed')).filter(({ tenant_id }) => tenant_id === id);
    expect(told.map(({ data }) => [data.before, data.after])).toEqual([
      [
        { name, status: 'active', registration: 'open' },
        { name: 'Okapi', status: 'active', registration: 'open' },
      ],
    ]);
  });

  it.each(['application', 'invite', 'closed'])(
    'whose policy is %s registers nobody and says so',
    async (policy) => {
      const id = await newTenant({ registration: policy });
      const body = { tenant_id: id, email: newEmail(), password: goodPassword };
      const answer = await auth.platform.api.post('/api/auth/register', body);
      expect(codeOf(answer)).toEqual([403, 'registration_closed']);
      expect(answer.body.detail).toContain(`policy of the tenant is ${policy}`);
      expect((await get(`/api/admin/tenants/${id}`)).body).toMatchObject({ registration: policy });
      expect((await patch(id, { registration: 'open', ...because })).status).toBe(200);
      expect((await auth.platform.api.post('/api/auth/register', body)).status).toBe(201);
    },
  );
});

describe('deleting a tenant', () => {
  const remove = (id: string, query: Record<string, string> = {}, by = root) =>
    auth.platform.api.request(
      'DELETE',
      `/api/admin/tenants/${id}?${new URLSearchParams({ ...because, ...query })}`,
      undefined,
      { token: by.token },
    );
  const cancel = (id: string, body: object = because) =>
    auth.platform.api.post(`/api/admin/tenants/${id}/cancel-deletion`, body, { token: root.token });
  const daysUntil = (time: string) => Math.round((Date.parse(time) - Date.now()) / 86_400_000);
  const tell = async (type: string, id: string) =>
    (await auth.told(type)).filter(({ tenant_id }) => tenant_id === id).map(({ data }) => data);
  const fill = (id: string, count: number) =>
    auth.platform.database.query(
      `insert into auth.user_account (id, tenant_id, email, password_hash, synced_version)
       select gen_random_uuid(), $1, 'filler-' || n || '@example.com', '', 1 from generate_series(1, $2) n`,
      [id, count],
    );
  const usersOf = async (id: string) =>
    (await auth.platform.database.query('select from auth.user_account where tenant_id = $1', [id])).length;
  const isGone = async (id: string) => (await get(`/api/admin/tenants/${id}`)).status === 404;

  it('ends its sessions at once and waits 30 days; asked again it keeps its date, unless told another', async () => {
    const id = await newTenant();
    const person = await auth.person({ tenantId: id });
    const answer = await remove(id);
    expect(answer.status).toBe(202);
    expect(answer.body).toMatchObject({ tenant_id: id, status: 'disabled' });
    expect(daysUntil(answer.body.delete_after)).toBe(30);
    expect(auth.token.live(person.userId)).toEqual([]);
    expect((await auth.login(person.email, goodPassword, id)).status).toBe(401);
    expect((await remove(id)).body.delete_after).toBe(answer.body.delete_after);
    const sooner = await remove(id, { delay_days: '7' });
    expect(daysUntil(sooner.body.delete_after)).toBe(7);
    expect(await tell('admin.tenant.deletion_scheduled', id)).toMatchObject([
      {
        actor_id: root.userId,
        reason: 'a test',
        before: { status: 'active', delete_after: 'never' },
        delete_after: answer.body.delete_after,
      },
      {
        before: { status: 'disabled', delete_after: answer.body.delete_after },
        delete_after: sooner.body.delete_after,
      },
    ]);
    expect(codeOf(await patch(id, { status: 'active', ...because }))).toEqual([409, 'conflict']);
    expect((await patch(id, { name: 'Going', ...because })).status).toBe(200);
  });

  it('can be taken back until then; the tenant stays disabled until it is enabled', async () => {
    const id = await newTenant();
    const { delete_after } = (await remove(id, { delay_days: '365' })).body;
    expect(codeOf(await cancel(id, {}))).toEqual([400, 'reason_required']);
    const answer = await cancel(id);
    expect(answer.body).toMatchObject({ status: 'disabled', delete_after: null });
    expect((await cancel(id)).status).toBe(200);
    expect(await tell('admin.tenant.deletion_cancelled', id)).toMatchObject([
      { actor_id: root.userId, reason: 'a test', delete_after },
    ]);
    expect((await patch(id, { status: 'active', ...because })).body).toMatchObject({ status: 'active' });
    expect(codeOf(await cancel(randomUUID()))).toEqual([404, 'not_found']);
  });

  it('is refused without a reason, for too long, for the default tenant and for whom nobody made', async () => {
    const id = await newTenant();
    expect(codeOf(await remove(id, { reason: ' ' }))).toEqual([400, 'reason_required']);
    for (const delay_days of ['366', '-1', '1.5', 'x'])
      expect(codeOf(await remove(id, { delay_days }))).toEqual([400, 'invalid_request']);
    const refused = await remove(root.tenantId);
    expect(codeOf(refused)).toEqual([409, 'conflict']);
    expect(refused.body.detail).toContain('default tenant');
    expect(codeOf(await remove(randomUUID()))).toEqual([404, 'not_found']);
    const admin = await auth.person({ role: 'ADMIN', tenantId: id });
    expect(codeOf(await remove(id, {}, admin))).toEqual([403, 'forbidden']);
    expect((await get(`/api/admin/tenants/${id}`)).body).toMatchObject({
      status: 'active',
      delete_after: null,
    });
  });

  it('is refused for the tenant of the last platform administrator', async () => {
    const id = await newTenant();
    const moved = await auth.person({ role: 'PLATFORM_ADMIN', tenantId: id });
    await auth.platform.database.query(`update auth.user_account set role = 'USER' where id = $1`, [
      root.userId,
    ]);
    try {
      expect(codeOf(await remove(id, {}, moved))).toEqual([409, 'last_administrator']);
    } finally {
      await auth.platform.database.query(
        `update auth.user_account set role = 'PLATFORM_ADMIN' where id = $1`,
        [root.userId],
      );
    }
    expect((await remove(id)).status).toBe(202);
  });

  it('removes its users in batches, its lockouts and at last itself, and tells how many there were', async () => {
    const id = await newTenant();
    const person = await auth.person({ tenantId: id });
    await auth.login('nobody@example.com', goodPassword, id);
    await fill(id, 1203);
    const other = await auth.person({ tenantId: await newTenant() });
    expect((await remove(id, { delay_days: '0' })).status).toBe(202);
    await eventually(() => isGone(id), 20_000);
    expect(await usersOf(id)).toBe(0);
    expect(await tell('admin.tenant.deleted', id)).toMatchObject([{ name: 'Shop', users: 1204 }]);
    const lockouts = await auth.platform.database.query('select from auth.lockout where tenant_id = $1', [
      id,
    ]);
    expect(lockouts).toEqual([]);
    expect(auth.token.tenants.get(id)).toMatchObject({ status: 'disabled' });
    expect((await auth.login(person.email, goodPassword, id)).status).toBe(401);
    expect((await auth.platform.api.get('/api/auth/me', { token: other.token })).status).toBe(200);
    // Whoever got the id would read the audit of the tenant that had it, and the sessions of token would be wrong.
    expect(codeOf(await make({ id, name: 'Again', ...because }))).toEqual([409, 'tenant_id_taken']);
    const again = { user_id: person.userId, email: newEmail(), password: goodPassword };
    expect(codeOf(await auth.platform.api.post('/api/auth/register', again))).toEqual([409, 'user_id_taken']);
  });

  it('waits for token to know, and then goes on', async () => {
    const id = await newTenant();
    const person = await auth.person({ tenantId: id });
    auth.token.down = true;
    const answer = await remove(id, { delay_days: '0' });
    expect(codeOf(answer)).toEqual([503, 'upstream_unavailable']);
    // Another one, of which token knows, is deleted meanwhile: so the job came by.
    const known = await auth.tenant();
    await auth.platform.database.query(
      `update auth.tenant set status = 'disabled', delete_after = now() where id = $1`,
      [known],
    );
    await eventually(() => isGone(known), 20_000);
    expect(await usersOf(id)).toBe(1);
    auth.token.down = false;
    await eventually(() => isGone(id), 20_000);
    expect(auth.token.live(person.userId)).toEqual([]);
  });

  it('is over once its time has come: then it cannot be taken back', async () => {
    const id = await newTenant();
    auth.token.down = true;
    await remove(id, { delay_days: '0' });
    const answer = await cancel(id);
    auth.token.down = false;
    expect(codeOf(answer)).toEqual([409, 'conflict']);
    await eventually(() => isGone(id), 20_000);
  });

  it('goes on where a process was killed, after any of its steps, and counts each user once', async () => {
    // What a kill leaves: some batches committed with their count, or all of them and the tenant still there.
    for (const left of [700, 0]) {
      const id = await newTenant();
      await fill(id, left);
      await auth.platform.database.query(
        `update auth.tenant set status = 'disabled', deleted_users = 500, delete_after = now() where id = $1`,
        [id],
      );
      await eventually(() => isGone(id), 20_000);
      expect(await tell('admin.tenant.deleted', id)).toMatchObject([{ users: 500 + left }]);
    }
  });
});

describe('lists', () => {
  it('of tenants come in pages', async () => {
    const { body } = await auth.platform.api.get('/api/admin/tenants?limit=1', { token: root.token });
    expect(body.items).toHaveLength(1);
    const path = `/api/admin/tenants?limit=200&cursor=${body.next_cursor}`;
    const rest = await auth.platform.api.get(path, { token: root.token });
    expect(rest.body.items.map((item: { tenant_id: string }) => item.tenant_id)).not.toContain(
      body.items[0].tenant_id,
    );
    expect(rest.body.next_cursor).toBeNull();
  });
});
