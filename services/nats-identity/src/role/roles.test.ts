import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { claimsOf, type IdentityGround, startIdentityGround } from '../user/identity-testing.ts';

let ground: IdentityGround;
let accountId: string;
beforeAll(async () => {
  ground = await startIdentityGround(null);
  accountId = (await ground.account()).id;
}, 60_000);
afterAll(() => ground?.close());

const code = (answer: { status: number; body: { code?: string } }) => [answer.status, answer.body?.code];
const jwtOfAccount = async (id = accountId) => (await ground.ok('GET', `/accounts/${id}`)).jwt as string;
const scopeIn = (jwt: string, key: string) =>
  claimsOf(jwt).nats.signing_keys.find((one: { key?: string }) => one.key === key);
const secretsOf = (key: string) =>
  ground.service.platform.database.query('select kind from natsid.secret where public_key = $1', [key]);

describe('a role', () => {
  test('is a scoped signing key in the account’s JWT, its seed held here', async () => {
    const before = claimsOf(await jwtOfAccount()).iat;
    const role = await ground.role(
      accountId,
      { pub: { allow: ['a.{{name()}}', 'b'], deny: [] }, resp: { max: 1, ttl: 0 } },
      { description: 'says a', reason: 'needed' },
    );
    expect(role).toMatchObject({
      held: true,
      users: 0,
      revision: 1,
      change: { dry_run: false, affected: { accounts: 1, users: 0, disconnects: false } },
    });
    const jwt = await jwtOfAccount();
    expect(claimsOf(jwt).iat).toBeGreaterThan(before);
    expect(scopeIn(jwt, role.public_key)).toEqual({
      kind: 'user_scope',
      key: role.public_key,
      role: role.name,
      description: 'says a',
      template: {
        pub: { allow: ['a.{{name()}}', 'b'] },
        resp: { max: 1, ttl: 0 },
        subs: -1,
        data: -1,
        payload: -1,
      },
    });
    expect(await secretsOf(role.public_key)).toEqual([{ kind: 'account_signing' }]);
    expect(await ground.service.told('natsid.role.created', { id: role.id })).toMatchObject([
      { data: { name: role.name, account_id: accountId, reason: 'needed' } },
    ]);
    const shown = await ground.ask('GET', `/roles/${role.id}`);
    expect(shown.headers.get('etag')).toBe('"1"');
    const { change: _, ...view } = role;
    expect(shown.body).toEqual(view);
  });

  test('whose edit says nothing new does nothing: no JWT, no revision, no event', async () => {
    const role = await ground.role(accountId, { pub: { allow: ['a'] }, sub: { deny: ['b'] }, subs: 5 });
    const jwt = await jwtOfAccount();
    for (const edit of [
      {},
      { name: role.name, description: '' },
      { template: role.template },
      { template: { pub: { allow: ['a'], deny: [] }, src: [], bearer_token: false } },
    ]) {
      const answer = await ground.ok('PATCH', `/roles/${role.id}`, edit);
      expect(answer.change).toEqual({
        dry_run: false,
        diff: [],
        affected: { accounts: 0, users: 0, disconnects: false, clusters: 0 },
      });
      expect(answer.revision).toBe(1);
    }
    expect(await jwtOfAccount()).toBe(jwt);
    expect(await ground.service.told('natsid.role.changed', { id: role.id })).toEqual([]);
  });

  test('of an import keeps what it says, to the byte, until somebody says something new', async () => {
    const role = await ground.role(accountId);
    const scope = {
      role: role.name,
      future: { x: 1 },
      template: { pub: { allow: [], deny: ['x'] }, sub: {}, subs: 3, data: -1, payload: -1, later: true },
    };
    await ground.service.platform.database.query('update natsid.account_key set scope = $2 where id = $1', [
      role.id,
      scope,
    ]);
    const none = await ground.ok('PATCH', `/roles/${role.id}`, { template: { subs: 3 } });
    expect(none.change.diff).toEqual([]);
    await ground.role(accountId);
    const named = { kind: 'user_scope', key: role.public_key };
    expect(scopeIn(await jwtOfAccount(), role.public_key)).toEqual({ ...named, ...scope });
    // Another description leaves the template as it is written, another limit brings it to its normal form.
    await ground.ok('PATCH', `/roles/${role.id}`, { description: 'd' });
    expect(scopeIn(await jwtOfAccount(), role.public_key)).toEqual({ ...named, ...scope, description: 'd' });
    const edited = await ground.ok('PATCH', `/roles/${role.id}`, { template: { subs: 4 } });
    expect(edited.change.diff).toContainEqual({ path: 'template.subs', before: 3, after: 4 });
    expect(scopeIn(await jwtOfAccount(), role.public_key)).toEqual({
      ...named,
      role: role.name,
      description: 'd',
      future: { x: 1 },
      template: { pub: { deny: ['x'] }, subs: 4, data: -1, payload: -1, later: true },
    });
  });

  test('shows in a dry run what its edit would change and whom it would cut off, and changes nothing', async () => {
    const role = await ground.role(accountId, { pub: { allow: ['a', 'b'] } });
    await Promise.all([1, 2].map(() => ground.user(accountId, { role_id: role.id })));
    const jwt = await jwtOfAccount();
    const edit = { template: { pub: { allow: ['a'] } }, description: 'less' };
    const dry = await ground.ok('PATCH', `/roles/${role.id}?dry_run=true`, edit);
    expect(dry.change).toEqual({
      dry_run: true,
      diff: expect.arrayContaining([
        { path: 'description', before: null, after: 'less' },
        { path: 'template.pub.allow[1]', before: 'b', after: null },
      ]),
      affected: { accounts: 1, users: 2, disconnects: true, clusters: 0 },
    });
    expect(await jwtOfAccount()).toBe(jwt);
    const done = await ground.ok('PATCH', `/roles/${role.id}`, edit);
    expect(done).toMatchObject({ revision: 2, change: { ...dry.change, dry_run: false } });
    expect(await ground.service.told('natsid.role.changed', { id: role.id })).toMatchObject([
      { data: { users: 2, changes: dry.change.diff } },
    ]);
  });

  test('is refused with what a server would not take: unknown functions, claims and shapes', async () => {
    const refusals: readonly (readonly [object, string])[] = [
      [{ pub: { allow: ['a.{{nme()}}'] } }, 'pub.allow[0]'],
      [{ pub: { allow: ['a.{{name()'] } }, 'pub.allow[0]'],
      [{ pub: { allow: ['a.x{{name()}}'] } }, 'pub.allow[0]'],
      [{ sub: { deny: ['a.>.b'] } }, 'sub.deny[0]'],
      [{ subs: -2 }, 'subs'],
      [{ subs: 'many' }, 'subs'],
      [{ tags: ['a'] }, 'tags'],
      [{ unknown: 1 }, 'unknown'],
      [{ src: ['nowhere'] }, 'src[0]'],
    ];
    for (const [template, path] of refusals) {
      const answer = await ground.ask('POST', '/roles', { account_id: accountId, name: 'bad', template });
      expect([path, ...code(answer)]).toEqual([path, 400, 'invalid_claims']);
      expect(answer.body.errors.map((one: { path: string }) => one.path)).toContain(path);
    }
    const role = await ground.role(accountId);
    const answer = await ground.ask('PATCH', `/roles/${role.id}`, { template: { unknown: 1 } });
    expect(code(answer)).toEqual([400, 'invalid_claims']);
  });

  test('has a name of its own in its account, whatever its case', async () => {
    const role = await ground.role(accountId);
    const again = { account_id: accountId, name: role.name.toUpperCase() };
    expect(code(await ground.ask('POST', '/roles', again))).toEqual([409, 'name_taken']);
    const other = await ground.role(accountId);
    expect(code(await ground.ask('PATCH', `/roles/${other.id}`, { name: role.name }))).toEqual([
      409,
      'name_taken',
    ]);
    const elsewhere = await ground.account();
    await ground.ok('POST', '/roles', { ...again, account_id: elsewhere.id });
  });

  test('is not changed over somebody else’s change', async () => {
    const role = await ground.role(accountId);
    const change = (method: string, etag: string, body?: object) =>
      ground.service.api.request(method, `/api/nats/roles/${role.id}`, body, {
        token: ground.service.root.token,
        headers: { 'if-match': etag },
      });
    expect((await change('PATCH', '"1"', { description: 'one' })).headers.get('etag')).toBe('"2"');
    expect(code(await change('PATCH', '"1"', { description: 'two' }))).toEqual([412, 'precondition_failed']);
    expect(code(await change('DELETE', '"1"'))).toEqual([412, 'precondition_failed']);
    expect((await change('DELETE', '"2"')).status).toBe(200);
  });

  test('goes only without users, and takes its seed and all that it signed with it', async () => {
    const role = await ground.role(accountId);
    const user = await ground.user(accountId, { role_id: role.id });
    await ground.issue(user.id);
    expect(code(await ground.ask('DELETE', `/roles/${role.id}`))).toEqual([409, 'key_in_use']);
    const stays = await ground.ask('PATCH', `/users/${user.id}`, { role_id: null });
    expect(code(stays)).toEqual([400, 'invalid_claims']);
    await ground.ok('PATCH', `/users/${user.id}`, { role_id: null, claims: { pub: { deny: ['>'] } } });
    const dry = await ground.ok('DELETE', `/roles/${role.id}?dry_run=true`);
    const gone = await ground.ok('DELETE', `/roles/${role.id}?reason=unused`);
    expect(gone.change).toEqual({ ...dry.change, dry_run: false });
    expect(gone.change.affected).toMatchObject({ accounts: 1, users: 1, disconnects: true });
    expect(scopeIn(await jwtOfAccount(), role.public_key)).toBeUndefined();
    expect(await secretsOf(role.public_key)).toEqual([]);
    const { items } = await ground.ok('GET', `/credentials?user_id=${user.id}`);
    expect(items).toMatchObject([{ state: 'revoked' }]);
    expect(code(await ground.ask('GET', `/roles/${role.id}`))).toEqual([404, 'not_found']);
    expect(await ground.service.told('natsid.role.deleted', { id: role.id })).toMatchObject([
      { data: { reason: 'unused' } },
    ]);
  });

  test('is found by a part of its name and by its key, page by page', async () => {
    const account = await ground.account();
    const made: { id: string; name: string; public_key: string }[] = [];
    for (const name of ['Reader%', 'writer_', 'READER two'])
      made.push(await ground.role(account.id, {}, { name }));
    const list = async (query: string) =>
      (await ground.ok('GET', `/roles?account_id=${account.id}&${query}`)).items.map(
        ({ name }: { name: string }) => name,
      );
    expect(await list('q=reader')).toEqual(['READER two', 'Reader%']);
    expect(await list(`q=${encodeURIComponent('r%')}`)).toEqual(['Reader%']);
    expect(await list(`q=${made[1]?.public_key.slice(0, 20)}`)).toEqual(['writer_']);
    const first = await ground.ok('GET', `/roles?account_id=${account.id}&limit=2`);
    const second = await ground.ok(
      'GET',
      `/roles?account_id=${account.id}&limit=2&cursor=${first.next_cursor}`,
    );
    expect([...first.items, ...second.items].map(({ id }: { id: string }) => id)).toEqual(
      made.map(({ id }) => id).reverse(),
    );
    expect(second.next_cursor).toBeNull();
    const moved = await ground.ask('GET', `/roles?limit=2&cursor=${first.next_cursor}`);
    expect(code(moved)).toEqual([400, 'bad_cursor']);
  });
});
