import { eventually } from '@gatehouse/kit/testing';
import { createNkey, decodeJwt } from '@gatehouse/nats-claims';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Calls, callsOf, codeOf, dumpOf, freshName } from '../call-testing.ts';
import { type Actor, startNatsIdentity, type TestNatsIdentity } from '../testing.ts';

let nats: TestNatsIdentity;
let root: Calls;
let somebody: Actor;
let stranger: Calls;
let operatorId: string;
let operatorKey: string;
beforeAll(async () => {
  nats = await startNatsIdentity();
  root = callsOf(nats, nats.root);
  stranger = callsOf(nats, await nats.tenantAdmin());
  somebody = await nats.person();
  const made = await root.post('/operators', { name: freshName('op'), open_to_tenants: true });
  operatorId = made.body.id;
  operatorKey = made.body.signing_keys[0].public_key;
});
afterAll(() => nats?.close());

const make = (body: object = {}, by = root) =>
  by.post('/accounts', { operator_id: operatorId, name: freshName('acc'), ...body });
const setState = (id: string, state: string) =>
  nats.platform.database.query('update natsid.account set state = $2 where id = $1', [id, state]);

describe('an account that is made', () => {
  it('is signed by the operator’s signing key, with every limit written out and a plain signing key', async () => {
    const name = freshName('acc');
    const made = await make({ name, claims: { limits: { conn: 5 }, description: 'mine' }, reason: 'why' });
    expect(made.status).toBe(201);
    expect(made.headers.get('etag')).toBe('"1"');
    const { body } = made;
    expect(body).toMatchObject({
      name,
      tenant_id: null,
      kind: 'account',
      state: 'active',
      revision: 1,
      sync: [],
      warnings: [],
    });
    const jwt = decodeJwt(body.jwt);
    expect(jwt).toMatchObject({ iss: operatorKey, sub: body.public_key, name });
    expect(jwt.nats).toEqual({
      description: 'mine',
      limits: {
        subs: -1,
        data: -1,
        payload: -1,
        imports: -1,
        exports: -1,
        wildcards: true,
        disallow_bearer: false,
        conn: 5,
        leaf: -1,
        mem_storage: 0,
        disk_storage: 0,
        streams: -1,
        consumer: -1,
        max_ack_pending: -1,
        mem_max_stream_bytes: -1,
        disk_max_stream_bytes: -1,
        max_bytes_required: false,
      },
      signing_keys: [body.signing_keys[0].public_key],
      type: 'account',
      version: 2,
    });
    expect(body.signing_keys).toMatchObject([{ role_id: null, role: null, held: true }]);
    const [told] = await nats.told('natsid.account.created', { id: body.id });
    expect(told?.data).toMatchObject({ reason: 'why', actor_id: nats.root.userId, operator_id: operatorId });
    expect(JSON.stringify(told)).not.toMatch(/S[OAU][A-Z2-7]{56}|eyJ/);
  });

  it('may expire, in whole seconds, and not in the past', async () => {
    const made = await make({ expires_at: '2100-01-01T00:00:00.9+01:00' });
    expect(made.body.expires_at).toBe('2099-12-31T23:00:00.000Z');
    expect(decodeJwt(made.body.jwt).exp).toBe(Date.parse(made.body.expires_at) / 1000);
    for (const bad of ['2001-01-01T00:00:00Z', '2100-02-31T99:00:00Z', '9999-01-01T00:00:00Z', 'soon'])
      expect(codeOf(await make({ expires_at: bad }))).toEqual([400, 'invalid_request']);
  });

  it('has a name of its own within its operator', async () => {
    const { body } = await make();
    expect(codeOf(await make({ name: body.name.toUpperCase() }))).toEqual([409, 'name_taken']);
    const other = await root.post('/operators', { name: freshName('op') });
    expect((await make({ name: body.name, operator_id: other.body.id })).status).toBe(201);
  });

  it('is refused with the path of what servers would not take', async () => {
    const wrong = {
      'limits.conn': { limits: { conn: 'many' } },
      'limits.nonsense': { limits: { nonsense: 1 } },
      nonsense: { nonsense: 1 },
      limits: { limits: [] },
      signing_keys: { signing_keys: [] },
      revocations: { revocations: {} },
      'trace.dest': { trace: { dest: 'a.*' } },
    };
    for (const [path, claims] of Object.entries(wrong)) {
      const answer = await make({ claims });
      expect([path, ...codeOf(answer)]).toEqual([path, 400, 'invalid_claims']);
      expect(answer.body.errors.map((error: { path: string }) => error.path)).toContain(path);
    }
  });

  it('leaves nothing behind in a dry run', async () => {
    const before = await dumpOf(nats);
    const dry = await root.post('/accounts?dry_run=true', {
      operator_id: operatorId,
      name: freshName('acc'),
    });
    expect(dry.status).toBe(201);
    expect(dry.body).toMatchObject({ jwt: '', change: { dry_run: true, affected: { accounts: 1 } } });
    expect(await dumpOf(nats)).toEqual(before);
  });

  it('needs an operator that there is, and that is named when there are several', async () => {
    expect(codeOf(await make({ operator_id: crypto.randomUUID() }))).toEqual([404, 'not_found']);
    expect(codeOf(await root.post('/accounts', { name: freshName('acc') }))).toEqual([
      400,
      'invalid_request',
    ]);
  });

  it('with a JWT that servers would hardly check is shown with a warning, and a larger one is refused', async () => {
    const exports = (count: number) =>
      Array.from({ length: count }, (_, n) => ({ type: 'stream', subject: `s.${n}.${'x'.repeat(100)}` }));
    const large = await make({ claims: { exports: exports(1_200) } });
    expect(large.status).toBe(201);
    expect(large.body.warnings[0]).toContain('190000');
    const larger = await make({
      claims: {
        exports: exports(4_900).map((one) => ({ ...one, subject: `${one.subject}${'y'.repeat(20)}` })),
      },
    });
    expect(codeOf(larger)).toEqual([400, 'account_jwt_too_large']);
  });
});

describe('a change of an account', () => {
  it('merges the claims, makes the JWT anew with a greater iat, and tells what differs', async () => {
    const { body: made } = await make({ claims: { tags: ['a'], limits: { conn: 5, subs: 7 } } });
    const answer = await root.patch(
      `/accounts/${made.id}`,
      { claims: { tags: null, limits: { conn: 3 }, description: 'd' }, reason: 'why' },
      { 'if-match': '"1"' },
    );
    expect(answer.status).toBe(200);
    expect(answer.headers.get('etag')).toBe('"2"');
    expect(answer.body.claims).toMatchObject({ limits: { conn: 3, subs: 7 }, description: 'd' });
    expect(answer.body.claims.tags).toBeUndefined();
    expect(answer.body.change).toMatchObject({
      diff: expect.arrayContaining([
        { path: 'limits.conn', before: 5, after: 3 },
        { path: 'description', before: null, after: 'd' },
        { path: 'tags', before: ['a'], after: null },
      ]),
      affected: { accounts: 1, users: 0, disconnects: true },
    });
    expect(decodeJwt(answer.body.jwt).iat).toBeGreaterThan(decodeJwt(made.jwt).iat);
    const [told] = await nats.told('natsid.account.changed', { id: made.id });
    expect(told?.data).toMatchObject({ reason: 'why', changes: answer.body.change.diff });
    const removed = await root.patch(`/accounts/${made.id}`, { claims: { limits: { conn: null } } });
    expect(removed.body.claims.limits.conn).toBe(-1);
  });

  it('that changes nothing makes no JWT and is not told', async () => {
    const { body: made } = await make({ claims: { tags: ['a'] } });
    const answer = await root.patch(`/accounts/${made.id}`, { name: made.name, claims: { tags: ['a'] } });
    expect(answer.body).toMatchObject({ jwt: made.jwt, revision: 1, change: { diff: [] } });
    expect(await nats.told('natsid.account.changed', { id: made.id })).toEqual([]);
  });

  it('is refused when the account was read too long ago', async () => {
    const { body: made } = await make();
    const path = `/accounts/${made.id}`;
    const at = (etag: string) => root.patch(path, { claims: { tags: ['x'] } }, { 'if-match': etag });
    expect(codeOf(await at('"2"'))).toEqual([412, 'precondition_failed']);
    expect((await at('"1"')).status).toBe(200);
    const lost = await root.patch(path, { claims: { tags: ['y'] } }, { 'if-match': '"1"' });
    expect(codeOf(lost)).toEqual([412, 'precondition_failed']);
    for (const [method, sub] of [
      ['DELETE', ''],
      ['POST', '/restore'],
      ['POST', '/signing-keys'],
      ['DELETE', `/signing-keys/${made.signing_keys[0].public_key}`],
    ] as const) {
      const body = method === 'POST' ? {} : undefined;
      const answer = await root.request(method, path + sub, body, { 'if-match': '"1"' });
      expect([method, sub, ...codeOf(answer)]).toEqual([method, sub, 412, 'precondition_failed']);
    }
  });

  it('of ten at once that all read the same is one', async () => {
    const { body: made } = await make();
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, n) =>
        root.patch(`/accounts/${made.id}`, { claims: { tags: [`t${n}`] } }, { 'if-match': '"1"' }),
      ),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([200, ...Array(9).fill(412)]);
  });

  it('leaves nothing behind in a dry run, whichever it is', async () => {
    const { body: made } = await make({ claims: { exports: [{ subject: 's.>', type: 'stream' }] } });
    const path = `/accounts/${made.id}`;
    const key = made.signing_keys[0].public_key;
    const for_account = createNkey('account').publicKey;
    const { body: locked } = await make();
    // Held there: the deletion itself would go on.
    await nats.platform.database.query(
      `update natsid.account set state = 'locked', state_due_at = 'infinity' where id = $1`,
      [locked.id],
    );
    const before = await dumpOf(nats);
    for (const [method, sub, body] of [
      ['PATCH', path, { claims: { tags: ['x'] } }],
      ['DELETE', path, undefined],
      ['POST', `/accounts/${locked.id}/restore`, {}],
      ['POST', `${path}/signing-keys`, {}],
      ['DELETE', `${path}/signing-keys/${key}`, undefined],
      ['POST', `${path}/activations`, { subject: 's.a', type: 'stream', for_account }],
    ] as const) {
      const answer = await root.request(method, `${sub}?dry_run=true`, body);
      expect([sub, answer.status, answer.body.change?.dry_run]).toEqual([sub, expect.any(Number), true]);
      expect(answer.text).not.toContain('eyJ');
      expect(await dumpOf(nats)).toEqual(before);
    }
  });

  it('tells an event that a message can hold, and no token in it', async () => {
    const exporter = await make({
      claims: { exports: [{ subject: 's.>', type: 'stream', token_req: true }] },
    });
    const { body: made } = await make();
    const activation = await root.post(`/accounts/${exporter.body.id}/activations`, {
      subject: 's.a',
      type: 'stream',
      for_account: made.public_key,
    });
    const imports = [
      { subject: 's.a', type: 'stream', account: exporter.body.public_key, token: activation.body.token },
    ];
    const exports = Array.from({ length: 3_000 }, (_, n) => ({
      type: 'stream',
      subject: `s.${n}.${'x'.repeat(50)}`,
    }));
    const answer = await root.patch(`/accounts/${made.id}`, { claims: { imports, exports } });
    expect(answer.status).toBe(200);
    expect(answer.body.claims.imports[0].token).toBe(activation.body.token);
    const [told] = await nats.told('natsid.account.changed', { id: made.id });
    const text = JSON.stringify(told);
    expect(text).not.toContain('eyJ');
    expect(text.length).toBeLessThan(300_000);
  });
});

describe('a signing key of an account', () => {
  it('comes and goes, and the JWT says so', async () => {
    const { body: made } = await make();
    const path = `/accounts/${made.id}`;
    const added = await root.post(`${path}/signing-keys`, { reason: 'why' });
    expect(added.status).toBe(201);
    const [first, second] = added.body.signing_keys.map((key: { public_key: string }) => key.public_key);
    expect(decodeJwt(added.body.jwt).nats.signing_keys).toEqual([first, second]);
    expect(await nats.told('natsid.account.key_added', { account_id: made.id, key: second })).toHaveLength(1);
    const removed = await root.delete(`${path}/signing-keys/${first}?reason=old`);
    expect(decodeJwt(removed.body.jwt).nats.signing_keys).toEqual([second]);
    const [told] = await nats.told('natsid.account.key_removed', { account_id: made.id, key: first });
    expect(told?.data).toMatchObject({ reason: 'old' });
    expect(codeOf(await root.delete(`${path}/signing-keys/${first}`))).toEqual([404, 'not_found']);
    const [{ n } = { n: -1 }] = await nats.platform.database.query<{ n: number }>(
      'select count(*)::int as n from natsid.secret where public_key = $1',
      [first],
    );
    expect(n).toBe(0);
  });

  it('closes out whom it signed, and the ledger says so', async () => {
    const { body: made } = await make();
    const user = await root.post('/users', { account_id: made.id, name: 'u' });
    await root.post(`/users/${user.body.id}/credentials`, {});
    const key = made.signing_keys[0].public_key;
    const removed = await root.delete(`/accounts/${made.id}/signing-keys/${key}`);
    expect(removed.body.change.affected).toMatchObject({ users: 1, disconnects: true });
    const { items } = (await root.get(`/credentials?account_id=${made.id}`)).body;
    expect(items).toMatchObject([{ state: 'revoked' }]);
  });

  it('of a role goes with its role only', async () => {
    const { body: made } = await make();
    const role = await root.post('/roles', { account_id: made.id, name: 'r' });
    const answer = await root.delete(`/accounts/${made.id}/signing-keys/${role.body.public_key}`);
    expect(codeOf(answer)).toEqual([409, 'key_in_use']);
  });
});

describe('a deletion of an account', () => {
  // A cluster that nobody reaches: the lock cannot be proven, and nothing goes on from there.
  let clustered: string;
  beforeAll(async () => {
    clustered = (await root.post('/operators', { name: freshName('op') })).body.id;
    await nats.platform.database.query(
      `insert into natsid.cluster (id, operator_id, name, servers)
       values (gen_random_uuid(), $1, $2, array['nats://127.0.0.1:1'])`,
      [clustered, freshName('c')],
    );
  });

  it('locks it at once: nobody connects, everybody is revoked; and it can be restored while locked', async () => {
    const { body: made } = await make({ operator_id: clustered, claims: { limits: { conn: 9 } } });
    const path = `/accounts/${made.id}`;
    const locked = await root.delete(`${path}?reason=why`);
    expect(locked.status).toBe(202);
    expect(locked.body).toMatchObject({
      state: 'locked',
      revision: 2,
      change: { affected: { disconnects: true } },
    });
    const jwt = decodeJwt(locked.body.jwt);
    expect(jwt.nats).toMatchObject({
      limits: { conn: 0, leaf: 0 },
      revocations: { '*': expect.any(Number) },
    });
    const [told] = await nats.told('natsid.account.locked', { id: made.id });
    expect(told?.data).toMatchObject({ reason: 'why', purge_consent: false });
    for (const answer of [
      await root.patch(path, { claims: { tags: ['x'] } }),
      await root.post(`${path}/signing-keys`, {}),
      await root.post(`${path}/activations`, {
        subject: 's',
        type: 'stream',
        for_account: createNkey('account').publicKey,
      }),
    ])
      expect(codeOf(answer)).toEqual([409, 'account_not_active']);
    const restored = await root.post(`${path}/restore`, { reason: 'back' });
    expect(restored.body).toMatchObject({ state: 'active', claims: { limits: { conn: 9 } } });
    const back = decodeJwt(restored.body.jwt);
    expect(back.nats.revocations).toBeUndefined();
    expect(back.iat).toBeGreaterThan(jwt.iat);
    expect(await nats.told('natsid.account.restored', { id: made.id })).toHaveLength(1);
    expect(codeOf(await root.post(`${path}/restore`, {}))).toEqual([409, 'conflict']);
  });

  it('asked again adds the consent to purge, and is otherwise one', async () => {
    const { body: made } = await make({ operator_id: clustered });
    const path = `/accounts/${made.id}`;
    await root.delete(path);
    expect((await root.delete(path)).status).toBe(202);
    expect(await nats.told('natsid.account.locked', { id: made.id })).toHaveLength(1);
    await root.delete(`${path}?purge=true`);
    const told = await nats.told('natsid.account.locked', { id: made.id });
    expect(told.map(({ data }) => data.purge_consent)).toEqual([false, true]);
  });

  it('that has begun to purge is not undone, and its end is shown on demand only', async () => {
    const { body: made } = await make();
    await setState(made.id, 'purging');
    expect(codeOf(await root.post(`/accounts/${made.id}/restore`, {}))).toEqual([409, 'conflict']);
    await setState(made.id, 'deleted');
    const listed = async (query: string) =>
      (await root.get(`/accounts?q=${made.name}${query}`)).body.items.length;
    expect([await listed(''), await listed('&state=deleted')]).toEqual([0, 1]);
    expect(codeOf(await root.delete(`/accounts/${made.id}`))).toEqual([404, 'not_found']);
    expect((await make({ name: made.name })).status).toBe(201);
  });

  it('is refused for what everything else lives on', async () => {
    const { body: operator } = await root.get(`/operators/${operatorId}`);
    expect(codeOf(await root.delete(`/accounts/${operator.system_account_id}`))).toEqual([409, 'conflict']);
    const { body: made } = await make();
    await nats.platform.database.query(`update natsid.account set kind = 'platform' where id = $1`, [
      made.id,
    ]);
    expect(codeOf(await root.delete(`/accounts/${made.id}`))).toEqual([409, 'conflict']);
  });
});

describe('an activation', () => {
  it('is signed for the importer, for what the account exports', async () => {
    const { body: made } = await make({
      claims: { exports: [{ subject: 'orders.*', type: 'stream', token_req: true }] },
    });
    const { body: importer } = await make();
    const path = `/accounts/${made.id}/activations`;
    const ask = { subject: 'orders.new', type: 'stream', for_account: importer.public_key };
    const answer = await root.post(path, { ...ask, ttl_seconds: 60, reason: 'why' });
    expect(answer.status).toBe(201);
    const token = decodeJwt(answer.body.token);
    expect(token).toMatchObject({ iss: made.signing_keys[0].public_key, sub: importer.public_key });
    expect(token.nats).toMatchObject({
      subject: 'orders.new',
      kind: 'stream',
      type: 'activation',
      issuer_account: made.public_key,
    });
    expect((token.exp ?? 0) - token.iat).toBe(60);
    expect(Date.parse(answer.body.expires_at) / 1000).toBe(token.exp);
    const taken = await root.patch(`/accounts/${importer.id}`, {
      claims: {
        imports: [
          {
            ...{ subject: 'orders.new', type: 'stream' },
            account: made.public_key,
            token: answer.body.token,
          },
        ],
      },
    });
    expect(taken.status).toBe(200);
    const [told] = await nats.told('natsid.activation.issued', { account_id: made.id });
    expect(told?.data).toMatchObject({
      subject: 'orders.new',
      for_account: importer.public_key,
      reason: 'why',
    });
    expect(JSON.stringify(told)).not.toContain('eyJ');
    for (const wrong of [
      { ...ask, type: 'service' },
      { ...ask, subject: 'orders.>' },
      { ...ask, subject: 'other' },
      { ...ask, subject: 'orders..x' },
      { ...ask, for_account: made.public_key },
      { ...ask, for_account: `A${'B'.repeat(55)}` },
    ])
      expect(codeOf(await root.post(path, wrong))).toEqual([400, 'invalid_claims']);
    for (const wrong of [
      { ...ask, ttl_seconds: 60, expires_at: '2100-01-01T00:00:00Z' },
      { ...ask, expires_at: '2000-01-01T00:00:00Z' },
    ])
      expect(codeOf(await root.post(path, wrong))).toEqual([400, 'invalid_request']);
  });
});

describe('a list of accounts', () => {
  it('is found by name, key, tag, operator and state, and paged by signed cursors', async () => {
    const mark = freshName('list');
    const made = [];
    for (const n of [1, 2, 3])
      made.push((await make({ name: `${mark}-${n}`, claims: { tags: [mark] } })).body);
    const names = async (query: string) =>
      (await root.get(`/accounts?${query}`)).body.items.map(({ name }: { name: string }) => name);
    const all = [3, 2, 1].map((n) => `${mark}-${n}`);
    expect(await names(`q=${mark.toUpperCase()}`)).toEqual(all);
    expect(await names(`q=${made[0].public_key.slice(0, 20)}`)).toEqual([`${mark}-1`]);
    expect(await names(`tag=${mark}`)).toEqual(all);
    expect(await names(`operator_id=${operatorId}&q=${mark}&state=active`)).toEqual(all);
    expect(await names(`operator_id=${crypto.randomUUID()}&q=${mark}`)).toEqual([]);
    expect(await names('q=%25&limit=1')).toEqual([]);
    const first = (await root.get(`/accounts?q=${mark}&limit=2`)).body;
    expect(first.items[0].jwt).toBeUndefined();
    expect(await names(`q=${mark}&limit=2&cursor=${first.next_cursor}`)).toEqual([`${mark}-1`]);
    expect(codeOf(await root.get(`/accounts?q=x&limit=2&cursor=${first.next_cursor}`))).toEqual([
      400,
      'bad_cursor',
    ]);
    expect(codeOf(await stranger.get(`/accounts?q=${mark}&limit=2&cursor=${first.next_cursor}`))).toEqual([
      400,
      'bad_cursor',
    ]);
  });
});

describe('who may do what', () => {
  it('without a token is nobody, without a role may nothing, and another tenant knows of nothing', async () => {
    const { body: made } = await make({ tenant_id: somebody.tenantId });
    expect(made.tenant_id).toBe(somebody.tenantId);
    const { body: operator } = await root.get(`/operators/${operatorId}`);
    const before = await dumpOf(nats);
    for (const id of [made.id, operator.system_account_id])
      for (const [method, sub, body] of [
        ['GET', '', undefined],
        ['PATCH', '', { claims: { tags: ['x'] } }],
        ['DELETE', '', undefined],
        ['POST', '/restore', {}],
        ['POST', '/signing-keys', {}],
        ['DELETE', `/signing-keys/${made.signing_keys[0].public_key}`, undefined],
        ['POST', '/activations', { subject: 's', type: 'stream', for_account: made.public_key }],
      ] as const) {
        const by = async (actor: Calls) =>
          (await actor.request(method, `/accounts/${id}${sub}`, body)).status;
        expect([method, sub, await by(callsOf(nats, undefined))]).toEqual([method, sub, 401]);
        expect([method, sub, await by(callsOf(nats, somebody))]).toEqual([method, sub, 403]);
        expect([method, sub, await by(stranger)]).toEqual([method, sub, 404]);
      }
    expect((await stranger.get(`/accounts?tenant_id=${somebody.tenantId}`)).status).toBe(404);
    expect((await stranger.get('/accounts')).body.items).toEqual([]);
    expect(await dumpOf(nats)).toEqual(before);
  });
});

describe('what the database holds', () => {
  it('opens in its own row only', async () => {
    const made = [(await make()).body, (await make()).body];
    const [a, b] = made.map(({ signing_keys }) => signing_keys[0].public_key);
    const { database } = nats.platform;
    await database.query(
      `update natsid.secret s set sealed = o.sealed, key_id = o.key_id from natsid.secret o
       where s.public_key = $1 and o.public_key = $2`,
      [a, b],
    );
    const issue = (id: string) =>
      root.post(`/accounts/${id}/activations`, {
        subject: 's',
        type: 'stream',
        for_account: createNkey('account').publicKey,
      });
    for (const { id } of made)
      await root.patch(`/accounts/${id}`, { claims: { exports: [{ subject: 's', type: 'stream' }] } });
    const [swapped, sound] = [await issue(made[0].id), await issue(made[1].id)];
    expect([swapped.status, sound.status]).toEqual([500, 201]);
    expect(swapped.text).not.toMatch(/S[OAU][A-Z2-7]{56}|eyJ/);
  });
});

describe('events', () => {
  it('of all that was done here reach the bus, none too large, none with a seed or a JWT', async () => {
    const { database } = nats.platform;
    await eventually(async () => {
      const [row] = await database.query<{ n: number }>(
        'select count(*)::int as n from natsid.outbox where published_at is null',
      );
      return row?.n === 0;
    });
    const told = await database.query<{ data: string }>('select data::text from natsid.outbox');
    expect(told.length).toBeGreaterThan(50);
    for (const { data } of told) expect(data).not.toMatch(/S[OAU][A-Z2-7]{56}|eyJ[\w-]+\./);
  });
});
