import { createNkey, encodeJwt } from '@gatehouse/nats-claims';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startNatsIdentity, type TestNatsIdentity } from '../testing.ts';
import { makeStore, type TestStore } from './nsc-testing.ts';

let nis: TestNatsIdentity;
beforeAll(async () => {
  nis = await startNatsIdentity();
});
afterAll(() => nis?.close());

const send = (body: object, query = '', token = nis.root.token) =>
  nis.api.post(`/api/nats/import/nsc${query}`, body, { token });
const rows = (sql: string, ...values: unknown[]) =>
  // biome-ignore lint/suspicious/noExplicitAny: rows of many shapes.
  nis.platform.database.query<any>(sql, values);
const accountsOf = (store: TestStore) =>
  rows(
    'select a.* from natsid.account a join natsid.operator o on o.id = a.operator_id where o.public_key = $1 order by a.name',
    store.keys.root.publicKey,
  );

describe('an nsc store', () => {
  it('comes whole: JWTs to the byte, every claim known or not, keys, roles, users', async () => {
    const store = makeStore();
    const answer = await send({ files: store.files, reason: 'moving in' });
    expect(answer.status, answer.text).toBe(201);
    expect(answer.body).toMatchObject({
      operator: { name: store.name, public_key: store.keys.root.publicKey, root_key: 'held' },
      accounts: 3,
      roles: 2,
      users: 5,
      left_out: [],
    });
    expect(answer.body.without_seed.sort()).toEqual(
      [store.keys.far.publicKey, store.keys.own.publicKey].sort(),
    );
    const [operator] = await rows('select * from natsid.operator where id = $1', answer.body.operator.id);
    expect(operator.jwt).toBe(store.jwts.root);
    expect(operator.claims).toMatchObject({
      x_of_the_future: { kept: [1, 'two'] },
      strict_signing_key_usage: true,
    });
    const [sys, far, orders] = await accountsOf(store);
    expect(operator.system_account_id).toBe(sys.id);
    expect(sys.kind).toBe('system');
    expect([sys.jwt, far.jwt, orders.jwt]).toEqual([store.jwts.sys, store.jwts.far, store.jwts.orders]);
    expect(orders.claims).toMatchObject({
      exports: [{ subject: 'stock.>', x_unknown: true }],
      mappings: { a: [{ subject: 'b', weight: 100 }] },
      x_of_the_future: { kept: true },
    });
    expect(far.secret_id).toBeNull();
    expect(orders.imported).toBe(true);
    const keys = await rows(
      'select * from natsid.account_key where account_id = $1 order by created_at',
      orders.id,
    );
    expect(keys.map(({ role_name }) => role_name)).toEqual([null, 'worker', store.keys.nameless.publicKey]);
    expect(keys[1].scope).toMatchObject({ role: 'worker', x_scope: 1 });
    expect(await nis.told('natsid.nsc.imported', { operator_id: operator.id })).toMatchObject([
      { data: { accounts: 3, users: 5, actor_id: nis.root.userId, reason: 'moving in' } },
    ]);
  });

  it('users come with their role, their claims and an entry of what they hold in the ledger', async () => {
    const store = makeStore();
    await send({ files: store.files });
    const users = await rows(
      `select u.*, k.role_name, c.iat, c.expires_at, c.revoked_at, c.issuer_key
       from natsid.nats_user u left join natsid.account_key k on k.id = u.role_id
       join natsid.credential c on c.user_id = u.id where u.public_key = any($1) order by u.name`,
      Object.values(store.keys).map(({ publicKey }) => publicKey),
    );
    expect(users.map(({ name }) => name)).toEqual(['bearer', 'own', 'printer', 'probe', 'stolen']);
    const [bearer, own, printer, probe, stolen] = users;
    expect(printer).toMatchObject({ role_name: 'worker', claims: { tags: ['floor:2'] }, expires_at: null });
    expect(printer.issuer_key).toBe(store.keys.worker.publicKey);
    expect(probe).toMatchObject({ role_name: null, ttl_seconds: 86_400, state: 'active', revoked_at: null });
    expect(probe.claims).toMatchObject({ x_user: 'kept', sub: { deny: ['>'] } });
    expect(probe.expires_at.getTime() / 1000).toBe(Number(probe.iat) + 86_400);
    expect(own.secret_id).toBeNull();
    expect(stolen.state).toBe('revoked');
    expect(stolen.revoked_at).not.toBeNull();
    expect(bearer.claims.bearer_token).toBe(true);
    const revoked = await rows(
      'select r.* from natsid.revocation r join natsid.account a on a.id = r.account_id where a.public_key = $1',
      store.keys.orders.publicKey,
    );
    // nsc may have issued what is in no file.
    expect(revoked.map(({ until }) => until)).toEqual([null, null]);
  });

  it('without its root key it is offline, without keys public-only; a second import names what is here', async () => {
    const store = makeStore();
    const files = store.files.filter(({ path }) => !path.endsWith('.nk'));
    const answer = await send({ files });
    expect(answer.body).toMatchObject({ operator: { root_key: 'offline' }, accounts: 3, users: 5 });
    const again = await send({ files: store.files });
    expect(again.status).toBe(409);
    expect(again.body.code).toBe('public_key_taken');
    expect(again.body.errors).toContainEqual({
      path: `stores/${store.name}/${store.name}.jwt`,
      message: `${store.keys.root.publicKey} is an operator here already.`,
    });
    expect(await accountsOf(store)).toHaveLength(3);
  });

  it('a dry run says the same and leaves nothing', async () => {
    const store = makeStore();
    const answer = await send({ files: store.files }, '?dry_run=true');
    expect(answer.body).toMatchObject({ accounts: 3, users: 5, change: { dry_run: true } });
    expect(await accountsOf(store)).toEqual([]);
    expect(
      await rows('select id from natsid.secret where public_key = $1', store.keys.root.publicKey),
    ).toEqual([]);
  });
});

describe('a store that cannot be used', () => {
  it.each([
    '../../etc/cron.d/x.jwt',
    '/etc/passwd.jwt',
    'stores/../../x.jwt',
    'stores\\x.jwt',
    'C:/x.jwt',
    'a//b.jwt',
  ])('a path that leads elsewhere (%j) writes nothing', async (path) => {
    const store = makeStore();
    const answer = await send({ files: [...store.files, { path, content: store.jwts.orders }] });
    expect({ status: answer.status, code: answer.body.code }).toEqual({
      status: 400,
      code: 'invalid_import',
    });
    expect(answer.body.errors).toEqual([{ path, message: expect.stringContaining('The path') }]);
    expect(await accountsOf(store)).toEqual([]);
  });

  it('every faulty file is named; with leave_faulty the rest comes', async () => {
    const store = makeStore();
    const stranger = createNkey('operator');
    const foreign = createNkey('account');
    const iat = Math.floor(Date.now() / 1000);
    const path = (name: string) => `stores/${store.name}/accounts/${name}/${name}.jwt`;
    const orphan = createNkey('user');
    const bad = [
      { path: path('torn'), content: `${store.jwts.orders?.slice(0, -9)}AAAAAAAAA` },
      {
        path: path('foreign'),
        content: encodeJwt({ sub: foreign.publicKey, name: 'foreign', iat }, { type: 'account' }, stranger),
      },
      {
        path: `stores/${store.name}/accounts/gone/users/orphan.jwt`,
        content: encodeJwt(
          { sub: orphan.publicKey, name: 'orphan', iat },
          { type: 'user' },
          createNkey('account'),
        ),
      },
      { path: 'keys/keys/A/AA/x.nk', content: 'hunter2' },
    ];
    const files = [...store.files, ...bad];
    const refused = await send({ files });
    expect(refused.status).toBe(400);
    expect(refused.body.errors.map((fault: { path: string }) => fault.path).sort()).toEqual(
      bad.map((file) => file.path).sort(),
    );
    expect(refused.text).not.toContain('hunter2');
    expect(await accountsOf(store)).toEqual([]);
    const taken = await send({ files, leave_faulty: true });
    expect(taken.status, taken.text).toBe(201);
    expect(taken.body).toMatchObject({ accounts: 3, users: 5 });
    expect(taken.body.left_out).toHaveLength(4);
  });

  it('several operators: one must be named; none: said so', async () => {
    const [one, other] = [makeStore(), makeStore()];
    const files = [...one.files, ...other.files];
    const refused = await send({ files });
    expect(refused.body.errors).toHaveLength(2);
    const taken = await send({ files, operator: other.name });
    expect(taken.body.operator.public_key).toBe(other.keys.root.publicKey);
    const none = await send({ files: one.files.filter(({ path }) => path.endsWith('.nk')) });
    expect(none.body).toMatchObject({ code: 'invalid_import' });
  });

  it('names that are none, and two of one name, get names that are; the JWT keeps its own', async () => {
    const store = makeStore('\u202eevil\n');
    const twin = createNkey('account');
    const jwt = encodeJwt(
      { sub: twin.publicKey, name: 'ORDERS', iat: Math.floor(Date.now() / 1000) },
      { type: 'account', limits: {} },
      store.keys.signing,
    );
    const files = [
      ...store.files.map((file) => ({ ...file, path: file.path.replaceAll(store.name, 'o') })),
      { path: 'stores/o/accounts/twin/twin.jwt', content: jwt },
    ];
    const answer = await send({ files });
    expect(answer.status, answer.text).toBe(201);
    expect(answer.body.operator.name).not.toMatch(/[\p{C}]/u);
    const names = (await accountsOf(store)).map(({ name }) => name.toLowerCase());
    expect(new Set(names).size).toBe(4);
    expect((await accountsOf(store)).find(({ public_key }) => public_key === twin.publicKey).jwt).toBe(jwt);
  });

  it('an ADMIN of a tenant may not, and nobody unsigned', async () => {
    const admin = await nis.tenantAdmin();
    const { files } = makeStore();
    expect((await send({ files }, '', admin.token)).status).toBe(403);
    expect((await nis.api.post('/api/nats/import/nsc', { files })).status).toBe(401);
  });

  it('no seed and no JWT of a user is in an event, a refusal or a row in clear', async () => {
    const store = makeStore();
    await send({ files: store.files });
    const refused = await send({ files: store.files });
    const told = JSON.stringify([
      await rows('select data from natsid.outbox'),
      await rows('select * from natsid.secret'),
      await rows('select * from natsid.nats_user'),
      await rows('select * from natsid.credential'),
      refused.body,
    ]);
    for (const seed of store.seeds) expect(told).not.toContain(seed);
    expect(told).not.toContain(store.jwts.bearer);
  });
});
