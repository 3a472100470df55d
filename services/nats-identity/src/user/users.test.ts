import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type IdentityGround, startIdentityGround } from './identity-testing.ts';

let ground: IdentityGround;
let accountId: string;
beforeAll(async () => {
  ground = await startIdentityGround(null);
  accountId = (await ground.account()).id;
}, 60_000);
afterAll(() => ground?.close());

const code = (answer: { status: number; body: { code?: string } }) => [answer.status, answer.body?.code];
const patch = (id: string, body: object) => ground.ask('PATCH', `/users/${id}`, body);

describe('a user', () => {
  test('without a role has its limits written out; what it is made of is told', async () => {
    const user = await ground.user(accountId, { claims: { pub: { allow: ['a'] } }, reason: 'new' });
    expect(user).toMatchObject({
      seed: 'held',
      role: null,
      role_id: null,
      ttl_seconds: null,
      state: 'active',
      last_seen_at: null,
      claims: { pub: { allow: ['a'] }, subs: -1, data: -1, payload: -1 },
      change: { affected: { accounts: 0, users: 1, disconnects: false } },
    });
    expect(await ground.service.told('natsid.user.created', { id: user.id })).toMatchObject([
      { data: { account_id: accountId, public_key: user.public_key, reason: 'new' } },
    ]);
    const { change: _, ...view } = user;
    const shown = await ground.ask('GET', `/users/${user.id}`);
    expect([shown.body, shown.headers.get('etag')]).toEqual([view, '"1"']);
  });

  test('with a role has tags and nothing else of its own', async () => {
    const role = await ground.role(accountId);
    const make = (claims: object) =>
      ground.ask('POST', '/users', { account_id: accountId, name: 'scoped', role_id: role.id, claims });
    for (const claims of [{ subs: -1 }, { src: [] }, { pub: { allow: ['a'] } }, { bearer_token: false }])
      expect(code(await make(claims))).toEqual([400, 'invalid_claims']);
    const made = await make({ tags: ['team:red'] });
    expect([made.status, made.body.role, made.body.claims]).toEqual([201, role.name, { tags: ['team:red'] }]);
  });

  test('has no name and no tag that a role would fill in as a wildcard', async () => {
    const make = (about: object) => ground.ask('POST', '/users', { account_id: accountId, ...about });
    for (const name of ['*', '>', 'a.*', 'a.>', '*.a', 'a > b'])
      expect(code(await make({ name })), name).toEqual([400, 'invalid_request']);
    for (const tag of ['>', 'area:*', 'area:eu.>', 'area:*.eu'])
      expect(code(await make({ name: 'tagged', claims: { tags: [tag] } })), tag).toEqual([
        400,
        'invalid_claims',
      ]);
    const user = await ground.user(accountId, { name: 'a*b <c>', claims: { tags: ['area:a*b'] } });
    expect(code(await patch(user.id, { name: 'orders.>' }))).toEqual([400, 'invalid_request']);
    expect(code(await patch(user.id, { claims: { tags: ['*'] } }))).toEqual([400, 'invalid_claims']);
    expect(code(await ground.ask('PATCH', `/accounts/${accountId}`, { claims: { tags: ['*'] } }))).toEqual([
      400,
      'invalid_claims',
    ]);
  });

  test('that gets a role loses its own permissions; one that leaves it needs some', async () => {
    const role = await ground.role(accountId);
    const user = await ground.user(accountId, { claims: { pub: { allow: ['a'] }, tags: ['x'] } });
    const moved = await ground.ok('PATCH', `/users/${user.id}`, { role_id: role.id });
    expect([moved.role, moved.claims, moved.still_valid]).toEqual([role.name, { tags: ['x'] }, 0]);
    expect(moved.change.diff).toContainEqual({ path: 'role_id', before: null, after: role.id });
    expect(moved.change.diff).toContainEqual({ path: 'pub', before: { allow: ['a'] }, after: null });
    expect(code(await patch(user.id, { role_id: null }))).toEqual([400, 'invalid_claims']);
    const left = await ground.ok('PATCH', `/users/${user.id}`, { role_id: null, claims: { subs: 4 } });
    expect(left.claims).toEqual({ subs: 4, data: -1, payload: -1, tags: ['x'] });
    const none = { role_id: '00000000-0000-7000-8000-000000000000' };
    expect(code(await patch(user.id, none))).toEqual([404, 'not_found']);
  });

  test('is changed by a merge patch: null removes, a dry run shows, what says nothing new does nothing', async () => {
    const user = await ground.user(accountId, {
      claims: { pub: { allow: ['a'], deny: ['b'] }, src: ['10.0.0.0/8'] },
    });
    const edit = { claims: { pub: { deny: null }, src: null, subs: 9 }, ttl_seconds: 60 };
    const dry = await ground.ok('PATCH', `/users/${user.id}?dry_run=true`, edit);
    expect(dry.change.diff).toEqual(
      expect.arrayContaining([
        { path: 'ttl_seconds', before: null, after: 60 },
        { path: 'pub.deny', before: ['b'], after: null },
        { path: 'src', before: ['10.0.0.0/8'], after: null },
        { path: 'subs', before: -1, after: 9 },
      ]),
    );
    expect((await ground.ok('GET', `/users/${user.id}`)).revision).toBe(1);
    const done = await ground.ok('PATCH', `/users/${user.id}`, edit);
    expect(done.change).toEqual({ ...dry.change, dry_run: false });
    expect(done.claims).toEqual({ pub: { allow: ['a'] }, subs: 9, data: -1, payload: -1 });
    const again = await ground.ok('PATCH', `/users/${user.id}`, edit);
    expect([again.revision, again.change.diff]).toEqual([2, []]);
    expect(await ground.service.told('natsid.user.changed', { id: user.id })).toHaveLength(1);
    const unlimited = await ground.ok('PATCH', `/users/${user.id}`, { claims: { subs: null } });
    expect(unlimited.claims.subs).toBe(-1);
  });

  test('keeps unknown claims of an import, and gets none from a caller', async () => {
    const user = await ground.user(accountId);
    expect(code(await patch(user.id, { claims: { future: 1 } }))).toEqual([400, 'invalid_claims']);
    await ground.service.platform.database.query(
      `update natsid.nats_user set claims = claims || '{"future": 1}' where id = $1`,
      [user.id],
    );
    const kept = await ground.ok('PATCH', `/users/${user.id}`, { claims: { subs: 2 } });
    expect(kept.claims).toMatchObject({ future: 1, subs: 2 });
    expect(code(await patch(user.id, { claims: { future: 2 } }))).toEqual([400, 'invalid_claims']);
  });

  test('has a name of its own in its account, and is not changed over somebody else’s change', async () => {
    const [one, two] = [await ground.user(accountId), await ground.user(accountId)];
    expect(code(await patch(two.id, { name: one.name.toUpperCase() }))).toEqual([409, 'name_taken']);
    const again = { account_id: accountId, name: one.name };
    expect(code(await ground.ask('POST', '/users', again))).toEqual([409, 'name_taken']);
    for (const [method, path] of [
      ['PATCH', ''],
      ['DELETE', ''],
      ['POST', '/revoke'],
      ['POST', '/restore'],
    ] as const) {
      const answer = await ground.service.api.request(
        method,
        `/api/nats/users/${one.id}${path}`,
        method === 'DELETE' ? undefined : {},
        { token: ground.service.root.token, headers: { 'if-match': '"7"' } },
      );
      expect([method, path, ...code(answer)]).toEqual([method, path, 412, 'precondition_failed']);
    }
  });

  test('is found by name, key, tag, role and state', async () => {
    const account = await ground.account();
    const role = await ground.role(account.id);
    const red = await ground.user(account.id, { name: 'Sensor_1', claims: { tags: ['Team:Red'] } });
    const scoped = await ground.user(account.id, { name: 'sensor 2', role_id: role.id });
    await ground.ok('POST', `/users/${scoped.id}/revoke`, {});
    const list = async (query: string) =>
      (await ground.ok('GET', `/users?account_id=${account.id}&${query}`)).items.map(
        ({ id }: { id: string }) => id,
      );
    expect(await list('')).toEqual([scoped.id, red.id]);
    expect(await list('q=SENSOR')).toEqual([scoped.id, red.id]);
    expect(await list('q=sensor_')).toEqual([red.id]);
    expect(await list(`q=${scoped.public_key.slice(0, 12)}`)).toEqual([scoped.id]);
    expect(await list('tag=team:red')).toEqual([red.id]);
    expect(await list('tag=team')).toEqual([]);
    expect(await list(`role_id=${role.id}`)).toEqual([scoped.id]);
    expect(await list('state=revoked')).toEqual([scoped.id]);
    expect(await list('state=active')).toEqual([red.id]);
  });

  test('of an account that is locked may only be shut out', async () => {
    const account = await ground.account();
    const user = await ground.user(account.id);
    await ground.issue(user.id);
    await ground.service.platform.database.query(
      `update natsid.account set state = 'locked', state_due_at = now() + interval '1 day' where id = $1`,
      [account.id],
    );
    const locked = [409, 'account_not_active'];
    expect(code(await patch(user.id, { name: 'other' }))).toEqual(locked);
    const made = { account_id: account.id, name: 'late' };
    expect(code(await ground.ask('POST', '/users', made))).toEqual(locked);
    expect(code(await ground.ask('POST', '/roles', made))).toEqual(locked);
    expect((await ground.ok('POST', `/users/${user.id}/revoke`, {})).state).toBe('revoked');
    expect(code(await ground.ask('POST', `/users/${user.id}/restore`, {}))).toEqual(locked);
    await ground.ok('DELETE', `/users/${user.id}`);
  });
});
