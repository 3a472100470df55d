import { eventually, newEmail } from '@gatehouse/kit/testing';
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
const change = (by: Person, who: { userId: string }, verb: string, body: object = because) =>
  auth.platform.api.post(`/api/admin/users/${who.userId}/${verb}`, body, { token: by.token });
const setRole = (by: Person, who: { userId: string }, role: string) =>
  change(by, who, 'role', { role, ...because });
const statusOf = async (path: string, token: string) => (await auth.platform.api.get(path, { token })).status;

describe('a role', () => {
  it('acts on the next request, in both directions', async () => {
    const person = await auth.person();
    expect(await statusOf('/protected/ping', person.token)).toBe(200);
    expect(await statusOf('/protected/admin/ping', person.token)).toBe(403);
    const answer = await setRole(root, person, 'ADMIN');
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({ user_id: person.userId, role: 'ADMIN' });
    await eventually(async () => expect(await statusOf('/protected/admin/ping', person.token)).toBe(200));
    expect((await setRole(root, person, 'USER')).status).toBe(200);
    await eventually(async () => expect(await statusOf('/protected/admin/ping', person.token)).toBe(403));
    const told = await auth.told('admin.user.role_changed', { user_id: person.userId });
    expect(told.map(({ data }) => [data.before, data.after, data.actor_id, data.reason])).toEqual([
      ['USER', 'ADMIN', root.userId, 'a test'],
      ['ADMIN', 'USER', root.userId, 'a test'],
    ]);
  });

  it('that is held already changes nothing and is told to nobody', async () => {
    const person = await auth.person();
    expect((await setRole(root, person, 'USER')).status).toBe(200);
    expect(await auth.told('admin.user.role_changed', { user_id: person.userId })).toEqual([]);
  });

  it('above the own is granted by nobody, and nobody changes somebody above themselves', async () => {
    const admin = await auth.person({ role: 'ADMIN' });
    const person = await auth.person();
    expect(codeOf(await setRole(admin, person, 'PLATFORM_ADMIN'))).toEqual([403, 'role_too_high']);
    expect(codeOf(await setRole(admin, admin, 'PLATFORM_ADMIN'))).toEqual([403, 'role_too_high']);
    for (const verb of ['lock', 'disable', 'revoke-sessions'])
      expect(codeOf(await change(admin, root, verb))).toEqual([403, 'role_too_high']);
    expect(codeOf(await setRole(admin, root, 'USER'))).toEqual([403, 'role_too_high']);
    expect((await setRole(admin, person, 'ADMIN')).status).toBe(200);
  });

  it('is judged by the database, not by what a token says', async () => {
    const admin = await auth.person({ role: 'ADMIN' });
    await auth.platform.database.query(`update auth.user_account set role = 'USER' where id = $1`, [
      admin.userId,
    ]);
    expect(codeOf(await change(admin, await auth.person(), 'lock'))).toEqual([403, 'forbidden']);
  });
});

describe('administrators of a tenant', () => {
  it('know nothing of other tenants', async () => {
    const admin = await auth.person({ role: 'ADMIN', tenantId: await auth.tenant() });
    const foreign = await auth.person();
    for (const verb of ['lock', 'unlock', 'disable', 'enable', 'revoke-sessions'])
      for (const body of [because, {}])
        expect(codeOf(await change(admin, foreign, verb, body))).toEqual([404, 'not_found']);
    expect(codeOf(await setRole(admin, foreign, 'ADMIN'))).toEqual([404, 'not_found']);
    const get = (path: string) => auth.platform.api.get(path, { token: admin.token });
    expect((await get(`/api/admin/users/${foreign.userId}`)).status).toBe(404);
    expect((await get(`/api/admin/users?tenant_id=${foreign.tenantId}`)).status).toBe(404);
    expect((await get(`/api/admin/users?email=${foreign.email}`)).body.items).toEqual([]);
    const { items } = (await get('/api/admin/users')).body;
    expect(items.map((item: { user_id: string }) => item.user_id)).toEqual([admin.userId]);
    expect((await get('/api/admin/tenants')).status).toBe(403);
  });

  it('must say why', async () => {
    const person = await auth.person();
    for (const verb of ['lock', 'unlock', 'disable', 'enable', 'revoke-sessions'])
      for (const body of [{}, { reason: '   ' }])
        expect(codeOf(await change(root, person, verb, body))).toEqual([400, 'reason_required']);
    expect(codeOf(await change(root, person, 'role', { role: 'ADMIN' }))).toEqual([400, 'reason_required']);
  });
});

describe('a lock', () => {
  it('ends every session at once, and lifting it lets the user back in', async () => {
    const person = await auth.person();
    expect((await change(root, person, 'lock')).body).toMatchObject({ status: 'locked' });
    expect(auth.token.live(person.userId)).toEqual([]);
    await eventually(async () => expect(await statusOf('/api/auth/me', person.token)).toBe(401));
    expect((await auth.login(person.email)).status).toBe(401);
    expect((await change(root, person, 'lock')).status).toBe(200);
    expect((await change(root, person, 'unlock')).body).toMatchObject({ status: 'active' });
    expect((await auth.login(person.email)).status).toBe(200);
    const told = await auth.told('admin.user.status_changed', { user_id: person.userId });
    expect(told.map(({ data }) => [data.before, data.after])).toEqual([
      ['active', 'locked'],
      ['locked', 'active'],
    ]);
  });

  it('is not the way to enable a disabled user', async () => {
    const person = await auth.person();
    expect((await change(root, person, 'disable')).body).toMatchObject({ status: 'disabled' });
    expect(codeOf(await change(root, person, 'unlock'))).toEqual([409, 'conflict']);
    expect(codeOf(await change(root, person, 'lock'))).toEqual([409, 'conflict']);
    expect((await change(root, person, 'enable')).body).toMatchObject({ status: 'active' });
  });

  it('after failed sign-ins is shown and lifted with a reason', async () => {
    const person = await auth.person();
    for (let attempt = 0; attempt < 5; attempt += 1) await auth.login(person.email, 'WrongPassword123');
    const show = await auth.platform.api.get(`/api/admin/users/${person.userId}`, { token: root.token });
    expect(Date.parse(show.body.locked_until)).toBeGreaterThan(Date.now());
    expect((await change(root, person, 'unlock')).body).toMatchObject({
      status: 'active',
      locked_until: null,
    });
    expect((await auth.login(person.email)).status).toBe(200);
    const { userId: user_id } = person;
    expect(await auth.told('auth.lockout', { user_id, action: 'unlocked' })).toHaveLength(1);
    expect(
      await auth.told('admin.user.status_changed', { user_id, before: 'locked_out', ...because }),
    ).toHaveLength(1);
  });
});

describe('the last administrator', () => {
  it('of the platform cannot be demoted, locked or disabled by anybody, nor its tenant disabled', async () => {
    const { api } = auth.platform;
    expect(codeOf(await setRole(root, root, 'ADMIN'))).toEqual([409, 'last_administrator']);
    for (const verb of ['lock', 'disable'])
      expect(codeOf(await change(root, root, verb))).toEqual([409, 'last_administrator']);
    const path = `/api/admin/tenants/${root.tenantId}`;
    const answer = await api.request(
      'PATCH',
      path,
      { status: 'disabled', ...because },
      { token: root.token },
    );
    expect(codeOf(answer)).toEqual([409, 'last_administrator']);
  });

  it('of the platform is still there after all of them have tried to demote themselves at once', async () => {
    for (let round = 0; round < 3; round += 1) {
      const admins = [
        root,
        await auth.person({ role: 'PLATFORM_ADMIN' }),
        await auth.person({ role: 'PLATFORM_ADMIN' }),
      ];
      const answers = await Promise.all(
        admins.map((admin, at) =>
          at % 2 === 0 ? setRole(admin, admin, 'USER') : change(admin, admin, 'lock'),
        ),
      );
      expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 409]);
      const rows = await auth.platform.database.query<{ id: string }>(
        `select id from auth.user_account where role = 'PLATFORM_ADMIN' and status = 'active'`,
      );
      expect(rows).toHaveLength(1);
      const left = admins.find(({ userId }) => userId === rows[0]?.id);
      if (left === undefined) throw new Error('somebody else is left');
      root = left;
    }
  });

  it('of the platform is still there after two have tried to demote each other at once', async () => {
    const other = await auth.person({ role: 'PLATFORM_ADMIN' });
    const answers = await Promise.all([setRole(root, other, 'USER'), setRole(other, root, 'USER')]);
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
    root = answers[0]?.status === 200 ? root : other;
  });

  it('of the platform is still there after two have tried to delete each other, or themselves, at once', async () => {
    const remove = (by: Person, who: Person) =>
      auth.platform.api.request('DELETE', `/api/admin/users/${who.userId}?reason=test`, undefined, {
        token: by.token,
      });
    for (const each of [false, true]) {
      const other = await auth.person({ role: 'PLATFORM_ADMIN' });
      const answers = await Promise.all(
        each ? [remove(root, root), remove(other, other)] : [remove(root, other), remove(other, root)],
      );
      expect(answers.filter(({ status }) => status === 204)).toHaveLength(1);
      const rows = await auth.platform.database.query<{ id: string }>(
        `select id from auth.user_account where role = 'PLATFORM_ADMIN' and status = 'active'`,
      );
      expect(rows).toHaveLength(1);
      root = rows[0]?.id === root.userId ? root : other;
    }
    expect(codeOf(await remove(root, root))).toEqual([409, 'last_administrator']);
  });

  it('of a tenant cannot demote or lock itself, but a platform administrator may', async () => {
    const tenantId = await auth.tenant();
    const admin = await auth.person({ role: 'ADMIN', tenantId });
    expect(codeOf(await setRole(admin, admin, 'USER'))).toEqual([409, 'last_administrator']);
    expect(codeOf(await change(admin, admin, 'lock'))).toEqual([409, 'last_administrator']);
    const second = await auth.person({ role: 'ADMIN', tenantId });
    const answers = await Promise.all([setRole(admin, admin, 'USER'), setRole(second, second, 'USER')]);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409]);
    const last = answers[0]?.status === 409 ? admin : second;
    expect((await setRole(root, last, 'USER')).status).toBe(200);
  });
});

describe('ending the sessions of a user', () => {
  it('says how many ended', async () => {
    const person = await auth.person();
    await auth.login(person.email);
    expect((await change(root, person, 'revoke-sessions')).body).toEqual({ count: 2 });
    await eventually(async () => expect(await statusOf('/api/auth/me', person.token)).toBe(401));
  });

  it('is 503 when token is away, and nothing has happened', async () => {
    const person = await auth.person();
    auth.token.down = true;
    const answer = await change(root, person, 'revoke-sessions');
    auth.token.down = false;
    expect(codeOf(answer)).toEqual([503, 'upstream_unavailable']);
    expect(auth.token.live(person.userId)).toHaveLength(1);
  });
});

describe('a change that token does not hear of', () => {
  it('is said to be stored, can be repeated, and comes into force when token is back', async () => {
    const person = await auth.person();
    auth.token.down = true;
    const answer = await change(root, person, 'lock');
    expect(codeOf(answer)).toEqual([503, 'upstream_unavailable']);
    expect(answer.body).toMatchObject({ stored: true });
    expect(auth.token.live(person.userId)).toHaveLength(1);
    auth.token.down = false;
    await eventually(() => expect(auth.token.live(person.userId)).toEqual([]));
    expect((await change(root, person, 'lock')).status).toBe(200);
    expect(await auth.told('admin.user.status_changed', { user_id: person.userId })).toHaveLength(1);
  });

  it('is not forgotten when the process dies between the commit and the telling', async () => {
    const person = await auth.person();
    // What such a death leaves: the new version committed, the confirmed one behind.
    await auth.platform.database.query(
      `update auth.user_account set status = 'disabled', version = version + 1 where id = $1`,
      [person.userId],
    );
    await eventually(() => expect(auth.token.live(person.userId)).toEqual([]));
    await eventually(async () =>
      expect(
        await auth.platform.database.query(`select from auth.user_account where synced_version < version`),
      ).toEqual([]),
    );
  });
});

describe('lists', () => {
  it('of users come in pages, newest first, each user once, with a cursor that cannot be changed', async () => {
    const tenantId = await auth.tenant();
    const made: string[] = [];
    for (let at = 0; at < 5; at += 1)
      made.unshift((await auth.person({ tenantId, email: newEmail() })).userId);
    // Three of one moment: the id tells them apart.
    await auth.platform.database.query(
      `update auth.user_account set created_at = (select max(created_at) from auth.user_account where id = $2)
       where id = any($1)`,
      [made.slice(1, 4), made[2]],
    );
    const list = (query: Record<string, string>) =>
      auth.platform.api.get(`/api/admin/users?${new URLSearchParams(query)}`, { token: root.token });
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const { status, body } = await list({ tenant_id: tenantId, limit: '2', ...(cursor && { cursor }) });
      expect(status).toBe(200);
      seen.push(...body.items.map((item: { user_id: string }) => item.user_id));
      cursor = body.next_cursor ?? undefined;
      if (cursor) {
        expect(codeOf(await list({ tenant_id: tenantId, cursor: `x${cursor}` }))).toEqual([
          400,
          'bad_cursor',
        ]);
        expect(codeOf(await list({ tenant_id: root.tenantId, cursor }))).toEqual([400, 'bad_cursor']);
      }
    } while (cursor);
    expect(seen.toSorted()).toEqual(made.toSorted());
    expect([seen[0], seen[4]]).toEqual([made[0], made[4]]);
  });
});
