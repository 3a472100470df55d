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
const post = (path: string, body: object, by = root) =>
  auth.platform.api.post(path, body, { token: by.token });
const get = (path: string, by = root) => auth.platform.api.get(path, { token: by.token });
const make = (about: object, by = root) => post('/api/admin/users', { ...because, ...about }, by);
const remove = (userId: string, by = root, reason = 'a test') =>
  auth.platform.api.request(
    'DELETE',
    `/api/admin/users/${userId}?${new URLSearchParams({ reason })}`,
    undefined,
    { token: by.token },
  );
const rowsOf = (userId: string) =>
  auth.platform.database.query('select * from auth.user_account where id = $1', [userId]);
const gone = (userId: string) => eventually(async () => expect(await rowsOf(userId)).toEqual([]));

describe('making a user', () => {
  it('gives an account that signs in with the password that was given, whatever the policy of the tenant', async () => {
    const tenantId = await auth.tenant();
    await auth.platform.database.query(`update auth.tenant set registration = 'closed' where id = $1`, [
      tenantId,
    ]);
    const email = newEmail();
    const answer = await make({
      tenant_id: tenantId.toUpperCase(),
      email: ` ${email.toUpperCase()} `,
      password: goodPassword,
      name: 'Anna',
    });
    expect(answer.status, answer.text).toBe(201);
    expect(answer.body).toMatchObject({
      tenant_id: tenantId,
      email,
      name: 'Anna',
      role: 'USER',
      status: 'active',
      failed_sign_ins: 0,
      initial_password: null,
    });
    expect((await auth.login(email, goodPassword, tenantId)).status).toBe(200);
    const told = await auth.told('admin.user.created', { user_id: answer.body.user_id });
    expect(told).toMatchObject([
      { tenant_id: tenantId, data: { email, role: 'USER', actor_id: root.userId, reason: 'a test' } },
    ]);
  });

  it('without a password makes one that signs in, shows it once and tells it to nobody', async () => {
    const email = newEmail();
    const { body } = await make({ email });
    const password = body.initial_password;
    expect(password).toMatch(/^([2-9a-z]{5}-){4}[2-9a-z]{5}$/);
    expect((await make({ email: newEmail() })).body.initial_password).not.toBe(password);
    expect((await auth.login(email, password)).status).toBe(200);
    expect((await get(`/api/admin/users/${body.user_id}`)).text).not.toContain(password);
    const { database } = auth.platform;
    const [stored] = await database.query<{ found: boolean }>(
      `select exists (select from auth.outbox o where o::text like $1)
         or exists (select from auth.user_account u where u::text like $1) as found`,
      [`%${password}%`],
    );
    expect(stored?.found).toBe(false);
  });

  it('is refused for what is wrong with it, before anything is stored', async () => {
    const email = newEmail();
    expect(codeOf(await make({ email: 'nobody' }))).toEqual([400, 'invalid_email']);
    const weak = await make({ email, password: 'password' });
    expect(codeOf(weak)).toEqual([400, 'weak_password']);
    expect(weak.body.reasons[0]).toMatchObject({ code: 'common' });
    expect(codeOf(await make({ email, password: email }))).toEqual([400, 'weak_password']);
    expect(codeOf(await make({ email, role: 'ROOT' }))).toEqual([400, 'invalid_request']);
    expect(codeOf(await make({ email, name: 'a\nb' }))).toEqual([400, 'invalid_request']);
    expect(codeOf(await make({ email, tenant_id: randomUUID() }))).toEqual([404, 'unknown_tenant']);
    for (const reason of ['', '  '])
      expect(codeOf(await make({ email, reason }))).toEqual([400, 'reason_required']);
    const disabled = await auth.tenant();
    await auth.platform.database.query(`update auth.tenant set status = 'disabled' where id = $1`, [
      disabled,
    ]);
    expect(codeOf(await make({ email, tenant_id: disabled }))).toEqual([409, 'conflict']);
    expect(codeOf(await make({ email: root.email.toUpperCase() }))).toEqual([409, 'email_taken']);
    const rows = await auth.platform.database.query('select from auth.user_account where email = $1', [
      email,
    ]);
    expect(rows).toEqual([]);
  });

  it('of one address by many at once makes one account and one event', async () => {
    const email = newEmail();
    const answers = await Promise.all(Array.from({ length: 6 }, () => make({ email })));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409, 409, 409, 409]);
    expect(await auth.told('admin.user.created', { email })).toHaveLength(1);
  });

  it('a tenant’s administrator does it in the own tenant, and learns nothing of others', async () => {
    const tenantId = await auth.tenant();
    const admin = await auth.person({ role: 'ADMIN', tenantId });
    expect((await make({ email: newEmail(), role: 'ADMIN' }, admin)).body).toMatchObject({
      tenant_id: tenantId,
      role: 'ADMIN',
    });
    for (const tenant_id of [root.tenantId, randomUUID()])
      expect(codeOf(await make({ email: root.email, tenant_id }, admin))).toEqual([404, 'unknown_tenant']);
    expect(codeOf(await make({ email: newEmail(), role: 'PLATFORM_ADMIN' }, admin))).toEqual([
      403,
      'role_too_high',
    ]);
    await auth.platform.database.query(`update auth.user_account set role = 'USER' where id = $1`, [
      admin.userId,
    ]);
    expect(codeOf(await make({ email: newEmail() }, admin))).toEqual([403, 'forbidden']);
  });

  it('is 503 with Retry-After while hashing is at its limit', async () => {
    const busy = await startAuth({ MAX_CONCURRENT_HASHES: '1', ARGON2_MEMORY_KIB: '65536' });
    try {
      const admin = await busy.person({ role: 'PLATFORM_ADMIN' });
      const answers = await Promise.all(
        Array.from({ length: 8 }, () =>
          busy.platform.api.post(
            '/api/admin/users',
            { email: newEmail(), ...because },
            { token: admin.token },
          ),
        ),
      );
      const refused = answers.filter(({ status }) => status === 503);
      expect(refused.length).toBeGreaterThan(0);
      expect(codeOf(refused[0] ?? { status: 0 })).toEqual([503, 'hash_busy']);
      expect(Number(refused[0]?.headers.get('retry-after'))).toBeGreaterThan(0);
    } finally {
      await busy.close();
    }
  });
});

describe('a deleted user', () => {
  it('is signed in nowhere, found nowhere, and nothing of the person is left', async () => {
    const person = await auth.person();
    await auth.login(person.email, 'WrongPassword123');
    const answer = await remove(person.userId);
    expect([answer.status, answer.text]).toEqual([204, '']);
    expect(auth.token.live(person.userId)).toEqual([]);
    expect((await auth.login(person.email)).status).toBe(401);
    await eventually(async () =>
      expect((await auth.platform.api.get('/api/auth/me', { token: person.token })).status).toBe(401),
    );
    expect((await get(`/api/admin/users/${person.userId}`)).status).toBe(404);
    for (const query of [`email=${person.email}`, `q=${person.email}`, 'q=deleted', 'limit=200'])
      expect((await get(`/api/admin/users?${query}`)).text).not.toContain(person.userId);
    for (const verb of ['lock', 'unlock', 'enable', 'disable', 'reset-lockout', 'revoke-sessions'])
      expect(codeOf(await post(`/api/admin/users/${person.userId}/${verb}`, because))).toEqual([
        404,
        'not_found',
      ]);
    expect(codeOf(await remove(person.userId))).toEqual([404, 'not_found']);
    await gone(person.userId);
    const [left] = await auth.platform.database.query<{ found: boolean }>(
      `select exists (select from auth.user_account u where u::text like $1)
         or exists (select from auth.lockout where identity = sha256(convert_to($2, 'UTF8')) and failures <> 1) as found`,
      [`%${person.email}%`, person.email],
    );
    expect(left?.found).toBe(false);
    expect(await auth.told('admin.user.deleted', { user_id: person.userId })).toMatchObject([
      {
        tenant_id: person.tenantId,
        data: { actor_id: root.userId, reason: 'a test', before: { role: 'USER', status: 'active' } },
      },
    ]);
  });

  it('leaves the address free, and the id to nobody', async () => {
    const person = await auth.person();
    expect((await remove(person.userId)).status).toBe(204);
    await gone(person.userId);
    const { api } = auth.platform;
    const again = { email: person.email, password: goodPassword };
    expect(codeOf(await api.post('/api/auth/register', { ...again, user_id: person.userId }))).toEqual([
      409,
      'user_id_taken',
    ]);
    const registered = await api.post('/api/auth/register', again);
    expect(registered.status).toBe(201);
    expect(registered.body.user_id).not.toBe(person.userId);
    expect((await auth.login(person.email)).status).toBe(200);
  });

  it('keeps its row until token knows, so that a session cannot outlive it', async () => {
    const person = await auth.person();
    auth.token.down = true;
    const answer = await remove(person.userId);
    expect(codeOf(answer)).toEqual([503, 'upstream_unavailable']);
    expect(answer.body).toMatchObject({ stored: true });
    expect(await rowsOf(person.userId)).toMatchObject([{ status: 'deleted', name: null, password_hash: '' }]);
    expect(auth.token.live(person.userId)).toHaveLength(1);
    expect((await auth.login(person.email)).status).toBe(401);
    auth.token.down = false;
    await gone(person.userId);
    expect(auth.token.live(person.userId)).toEqual([]);
    expect(auth.token.subjects.get(person.userId)).toMatchObject({ status: 'disabled' });
  });

  it('signs in no more, even when the password was right a moment before', async () => {
    const person = await auth.person();
    auth.token.beforeOpening = async () => {
      expect((await remove(person.userId)).status).toBe(204);
    };
    expect((await auth.login(person.email)).status).toBe(401);
    expect(auth.token.live(person.userId)).toEqual([]);
  });

  it('who changed the password just before is deleted all the same', async () => {
    const person = await auth.person();
    await auth.platform.database.query(
      `insert into auth.session_end (id, user_id) values (gen_random_uuid(), $1)`,
      [person.userId],
    );
    expect((await remove(person.userId)).status).toBe(204);
    await gone(person.userId);
  });

  it('is deleted once of many who ask at once, and told once', async () => {
    const person = await auth.person();
    const answers = await Promise.all(Array.from({ length: 5 }, () => remove(person.userId)));
    expect(answers.map(({ status }) => status).sort()).toEqual([204, 404, 404, 404, 404]);
    expect(await auth.told('admin.user.deleted', { user_id: person.userId })).toHaveLength(1);
  });

  it('needs a reason, and a tenant’s administrator deletes in the own tenant only', async () => {
    const tenantId = await auth.tenant();
    const admin = await auth.person({ role: 'ADMIN', tenantId });
    const person = await auth.person({ tenantId });
    expect(codeOf(await remove(person.userId, admin, ' '))).toEqual([400, 'reason_required']);
    for (const reason of ['', 'a test'])
      expect(codeOf(await remove(root.userId, admin, reason))).toEqual([404, 'not_found']);
    expect((await remove(person.userId, admin)).status).toBe(204);
    expect(codeOf(await remove(admin.userId, admin))).toEqual([409, 'last_administrator']);
    expect((await remove(admin.userId)).status).toBe(204);
  });
});

describe('the lockout of a user', () => {
  it('is lifted without lifting a lock, with its reason, and once', async () => {
    const person = await auth.person();
    for (let attempt = 0; attempt < 5; attempt += 1) await auth.login(person.email, 'WrongPassword123');
    const path = `/api/admin/users/${person.userId}`;
    expect((await get(path)).body).toMatchObject({ failed_sign_ins: 5 });
    expect((await post(`${path}/lock`, because)).status).toBe(200);
    const answer = await post(`${path}/reset-lockout`, because);
    expect(answer.body).toMatchObject({ status: 'locked', locked_until: null, failed_sign_ins: 0 });
    expect((await post(`${path}/reset-lockout`, because)).status).toBe(200);
    const { userId: user_id } = person;
    expect(await auth.told('auth.lockout', { user_id, action: 'unlocked' })).toHaveLength(1);
    expect(
      await auth.told('admin.user.status_changed', { user_id, before: 'locked_out', ...because }),
    ).toMatchObject([{ data: { after: 'locked' } }]);
  });

  it('counts failures that have not locked yet, and forgets those of a window that is over', async () => {
    const person = await auth.person();
    await auth.login(person.email, 'WrongPassword123');
    const path = `/api/admin/users/${person.userId}`;
    expect((await get(path)).body).toMatchObject({ failed_sign_ins: 1, locked_until: null });
    expect((await post(`${path}/reset-lockout`, because)).body).toMatchObject({ failed_sign_ins: 0 });
    const told = await auth.told('admin.user.status_changed', { user_id: person.userId });
    expect(told).toMatchObject([{ data: { before: 'failed_sign_ins', after: 'active' } }]);
    await auth.login(person.email, 'WrongPassword123');
    await auth.platform.database.query(
      `update auth.lockout set window_started_at = now() - interval '16 minutes'`,
    );
    expect((await get(path)).body).toMatchObject({ failed_sign_ins: 0 });
  });

  it('needs a reason', async () => {
    expect(codeOf(await post(`/api/admin/users/${root.userId}/reset-lockout`, {}))).toEqual([
      400,
      'reason_required',
    ]);
  });
});

describe('searching users', () => {
  it('finds by the beginning of the address or of the name, by status, role and tenant, and nothing else', async () => {
    const tenantId = await auth.tenant();
    const made = async (email: string, name: string, role = 'USER') =>
      (await make({ tenant_id: tenantId, email, name, role })).body.user_id as string;
    const anna = await made('anna@example.com', 'Anna Müller');
    const annika = await made('annika@example.com', 'Bo');
    const bert = await made('bert@example.com', 'ANNABERT', 'SUPPORT');
    const odd = await made('a_n%@example.com', '100% \\ Wool');
    const found = async (query: Record<string, string>) => {
      const answer = await get(`/api/admin/users?${new URLSearchParams({ tenant_id: tenantId, ...query })}`);
      expect(answer.status, answer.text).toBe(200);
      return (answer.body.items as { user_id: string }[]).map(({ user_id }) => user_id);
    };
    expect(await found({ q: 'ann' })).toEqual([bert, annika, anna]);
    expect(await found({ q: 'ANNA' })).toEqual([bert, anna]);
    expect(await found({ q: ' anna m' })).toEqual([anna]);
    expect(await found({ q: 'a_n' })).toEqual([odd]);
    expect(await found({ q: '100% \\' })).toEqual([odd]);
    expect(await found({ q: 'example' })).toEqual([]);
    expect(await found({ q: "' or true --" })).toEqual([]);
    expect(await found({ role: 'SUPPORT' })).toEqual([bert]);
    await post(`/api/admin/users/${annika}/lock`, because);
    expect(await found({ status: 'locked' })).toEqual([annika]);
    expect(await found({ q: 'ann', status: 'active', role: 'USER' })).toEqual([anna]);
    expect(await found({ email: 'ANNA@example.com' })).toEqual([anna]);
    expect(codeOf(await get('/api/admin/users?status=deleted'))).toEqual([400, 'invalid_request']);
    const first = await get(`/api/admin/users?tenant_id=${tenantId}&q=ann&limit=1`);
    const other = `/api/admin/users?tenant_id=${tenantId}&q=anna&cursor=${first.body.next_cursor}`;
    expect(codeOf(await get(other))).toEqual([400, 'bad_cursor']);
  });
});
