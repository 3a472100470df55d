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
