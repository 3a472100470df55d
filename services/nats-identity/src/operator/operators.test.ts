import { createNkey, decodeJwt, encodeJwt, type Nkey } from '@gatehouse/nats-claims';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Calls, callsOf, codeOf, dumpOf, freshName } from '../call-testing.ts';
import { type Actor, startNatsIdentity, type TestNatsIdentity } from '../testing.ts';

let nats: TestNatsIdentity;
let root: Calls;
let admin: Calls;
let somebody: Actor;
beforeAll(async () => {
  nats = await startNatsIdentity();
  root = callsOf(nats, nats.root);
  admin = callsOf(nats, await nats.tenantAdmin());
  somebody = await nats.person();
});
afterAll(() => nats?.close());

const now = () => Math.floor(Date.now() / 1000);
const operatorJwt = (key: Nkey, nats: object, iat = now()) =>
  encodeJwt({ sub: key.publicKey, name: 'OP', iat }, { type: 'operator', ...nats }, key);
const make = (body: object = {}) => root.post('/operators', { name: freshName('op'), ...body });

describe('an operator that is made', () => {
  it('has a root key, one signing key that signs, a system account, and is strict', async () => {
    const name = freshName('op');
    const made = await make({ name, claims: { tags: ['a'], operator_service_urls: ['nats://h:4222'] } });
    expect(made.status).toBe(201);
    expect(made.headers.get('etag')).toBe('"1"');
    const { body } = made;
    expect(body).toMatchObject({ name, root_key: 'held', open_to_tenants: false, own: false, revision: 1 });
    expect(body.signing_keys).toEqual([expect.objectContaining({ state: 'active', held: true })]);
    const jwt = decodeJwt(body.jwt);
    expect(jwt).toMatchObject({ iss: body.public_key, sub: body.public_key, name });
    const system = await root.get(`/accounts/${body.system_account_id}`);
    expect(jwt.nats).toEqual({
      strict_signing_key_usage: true,
      tags: ['a'],
      operator_service_urls: ['nats://h:4222'],
      signing_keys: [body.signing_keys[0].public_key],
      system_account: system.body.public_key,
      type: 'operator',
      version: 2,
    });
    expect(system.body).toMatchObject({ name: 'SYS', kind: 'system', tenant_id: null });
    const sys = decodeJwt(system.body.jwt);
    expect(sys.iss).toBe(body.signing_keys[0].public_key);
    expect(sys.nats.exports).toHaveLength(2);
    expect(sys.nats.limits).toMatchObject({ conn: -1, subs: -1, wildcards: true });
    const told = await nats.told('natsid.operator.created', { id: body.id });
    expect(told[0]?.data).toMatchObject({ root_key: 'held', actor_id: nats.root.userId });
  });

  it('has a name that nobody else has, whatever its case, and that can be printed', async () => {
    const name = freshName('Op');
    expect((await make({ name })).status).toBe(201);
    expect(codeOf(await make({ name: name.toLowerCase() }))).toEqual([409, 'name_taken']);
    for (const bad of ['', ' a', 'a ', 'a\nb', 'a\u001b[2J', 'a\u202eb', 'a\u200bb', 'x'.repeat(129)])
      expect(codeOf(await make({ name: bad }))).toEqual([400, 'invalid_request']);
    expect((await make({ name: `${freshName('ö')} $SYS.>/../x` })).status).toBe(201);
  });

  it('is refused with the path of what servers would not take', async () => {
    const wrong = await make({ claims: { operator_service_urls: ['http://user@h'], nonsense: 1 } });
    expect(codeOf(wrong)).toEqual([400, 'invalid_claims']);
    expect(wrong.body.errors[0].path).toBe('nonsense');
    const rule = await make({ claims: { operator_service_urls: ['http://user@h'] } });
    expect(rule.body.errors[0].path).toBe('operator_service_urls[0]');
    for (const own of [{ signing_keys: [] }, { system_account: 'A' }, { type: 'user' }])
      expect(codeOf(await make({ claims: own }))).toEqual([400, 'invalid_claims']);
  });

  it('leaves nothing behind in a dry run, and shows nothing that is signed', async () => {
    const before = await dumpOf(nats);
    const dry = await root.post('/operators?dry_run=true', { name: freshName('op') });
    expect(dry.status).toBe(201);
    expect(dry.body).toMatchObject({ jwt: '', change: { dry_run: true, affected: { accounts: 1 } } });
    expect(await dumpOf(nats)).toEqual(before);
  });

  it('holds no seed in any answer or event', async () => {
    const { body, text } = await make();
    const events = await nats.platform.database.query('select data::text from natsid.outbox');
    expect(`${text}${JSON.stringify(events)}`).not.toMatch(/S[OAU][A-Z2-7]{56}/);
    const [row] = await nats.platform.database.query<{ sealed: string }>(
      'select s.sealed from natsid.secret s join natsid.operator o on o.secret_id = s.id where o.id = $1',
      [body.id],
    );
    expect(row?.sealed).toMatch(/^gs1\./);
  });
});

describe('an operator from elsewhere', () => {
  const key = () => createNkey('operator');
  const seed = (one: Nkey) => one.seed().toString();

  it('keeps its JWT to the byte, unknown fields and a system account that is not here', async () => {
    const [operator, signing, other] = [key(), key(), key()];
    const system = createNkey('account').publicKey;
    const jwt = operatorJwt(operator, {
      signing_keys: [signing.publicKey, other.publicKey],
      system_account: system,
      strict_signing_key_usage: true,
      from_the_future: { deep: [1] },
    });
    const made = await make({ import: { jwt, signing_seeds: [seed(signing)] } });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({ jwt, root_key: 'offline', public_key: operator.publicKey });
    expect(made.body.claims).toMatchObject({ from_the_future: { deep: [1] }, system_account: system });
    expect(made.body.signing_keys).toMatchObject([
      { public_key: signing.publicKey, held: true, state: 'active' },
      { public_key: other.publicKey, held: false, state: 'active' },
    ]);
    const again = await make({ import: { jwt } });
    expect(codeOf(again)).toEqual([409, 'public_key_taken']);
  });

  it('with its root seed can be changed here, and unknown fields stay', async () => {
    const operator = key();
    const jwt = operatorJwt(operator, { from_the_future: 1 });
    const made = await make({ import: { jwt, root_seed: seed(operator) } });
    expect(made.body.root_key).toBe('held');
    const changed = await root.patch(`/operators/${made.body.id}`, { claims: { tags: ['x'] } });
    expect(changed.status).toBe(200);
    expect(decodeJwt(changed.body.jwt).nats).toMatchObject({ from_the_future: 1, tags: ['x'] });
    const touched = await root.patch(`/operators/${made.body.id}`, { claims: { from_the_future: 2 } });
    expect(codeOf(touched)).toEqual([400, 'invalid_claims']);
  });

  it('is refused when anything of it does not belong together', async () => {
    const [operator, signing, stranger] = [key(), key(), key()];
    const jwt = operatorJwt(operator, { signing_keys: [signing.publicKey] });
    const signedByStranger = encodeJwt(
      { sub: operator.publicKey, iat: now() },
      { type: 'operator' },
      stranger,
    );
    const tampered = `${jwt.slice(0, -4)}AAAA`;
    const account = encodeJwt({ sub: operator.publicKey, iat: now() }, { type: 'account' }, operator);
    for (const from of [
      { jwt: 'nonsense' },
      { jwt: tampered },
      { jwt: signedByStranger },
      { jwt: account },
      { jwt: operatorJwt(operator, { signing_keys: ['Onsense'] }) },
      { jwt, root_seed: seed(stranger) },
      { jwt, root_seed: 'nonsense' },
      { jwt, root_seed: seed(createNkey('account')) },
      { jwt, signing_seeds: [seed(stranger)] },
    ]) {
      const answer = await make({ import: from });
      expect([answer.status, answer.body.code, from]).toEqual([400, 'invalid_import', from]);
      expect(answer.text).not.toMatch(/S[OAU][A-Z2-7]{56}/);
    }
    expect(codeOf(await make({ claims: {}, import: { jwt } }))).toEqual([400, 'invalid_request']);
  });
});

describe('a change of an operator', () => {
  it('makes its JWT anew with a greater iat, and tells what differs', async () => {
    const { body: made } = await make();
    const name = freshName('op');
    const answer = await root.patch(
      `/operators/${made.id}`,
      { name, claims: { tags: ['x'] }, open_to_tenants: true, reason: 'why' },
      { 'if-match': '"1"' },
    );
    expect(answer.status).toBe(200);
    expect(answer.headers.get('etag')).toBe('"2"');
    expect(answer.body.change.diff).toEqual([
      { path: 'tags', before: null, after: ['x'] },
      { path: 'name', before: made.name, after: name },
      { path: 'open_to_tenants', before: false, after: true },
    ]);
    expect(decodeJwt(answer.body.jwt).iat).toBeGreaterThan(decodeJwt(made.jwt).iat);
    const told = await nats.told('natsid.operator.changed', { id: made.id });
    expect(told[0]?.data).toMatchObject({ reason: 'why', changes: answer.body.change.diff });
  });

  it('that changes nothing leaves its JWT and revision alone, and is not told', async () => {
    const { body: made } = await make();
    const answer = await root.patch(`/operators/${made.id}`, { claims: {}, name: made.name });
    expect(answer.body).toMatchObject({ jwt: made.jwt, revision: 1, change: { diff: [] } });
    expect(await nats.told('natsid.operator.changed', { id: made.id })).toEqual([]);
  });

  it('is refused when it was read too long ago, and undone in a dry run', async () => {
    const { body: made } = await make();
    const path = `/operators/${made.id}`;
    expect(codeOf(await root.patch(path, { open_to_tenants: true }, { 'if-match': '"7"' }))).toEqual([
      412,
      'precondition_failed',
    ]);
    const before = await dumpOf(nats);
    const dry = await root.patch(`${path}?dry_run=true`, { claims: { tags: ['x'] } });
    expect(dry.body).toMatchObject({ revision: 2, jwt: '', change: { dry_run: true } });
    expect(await dumpOf(nats)).toEqual(before);
  });

  it('to strict is refused while the root key has signed an account, until all are signed anew', async () => {
    const { body: made } = await make({ claims: { strict_signing_key_usage: false } });
    const signing = made.signing_keys[0].public_key;
    // As an operator has it that never had signing keys.
    const kept = await root.get(`/accounts/${made.system_account_id}`);
    await nats.platform.database.query('update natsid.account set issuer_key = $2 where id = $1', [
      kept.body.id,
      made.public_key,
    ]);
    const strict = () => root.patch(`/operators/${made.id}`, { claims: { strict_signing_key_usage: true } });
    const refused = await strict();
    expect(codeOf(refused)).toEqual([409, 'key_in_use']);
    expect(refused.body.accounts).toEqual([{ id: kept.body.id, name: 'SYS' }]);
    const resigned = await root.post(`/operators/${made.id}/resign`, {});
    expect(resigned.body).toEqual({ resigned: 1, remaining: 0 });
    expect(decodeJwt((await root.get(`/accounts/${kept.body.id}`)).body.jwt).iss).toBe(signing);
    expect((await strict()).status).toBe(200);
  });

  it('to strict is refused while an account’s identity key has signed a user', async () => {
    const { body: made } = await make({ claims: { strict_signing_key_usage: false } });
    await nats.platform.database.query(
      `insert into natsid.credential (id, user_id, account_id, public_key, issuer_key, jti, jwt_sha256, iat)
       select gen_random_uuid(), gen_random_uuid(), id, 'U', public_key, 'j', ''::bytea, 1
       from natsid.account where id = $1`,
      [made.system_account_id],
    );
    const refused = await root.patch(`/operators/${made.id}`, { claims: { strict_signing_key_usage: true } });
    expect(codeOf(refused)).toEqual([409, 'key_in_use']);
    expect(refused.body.users).toMatchObject([{ account: 'SYS' }]);
  });
});

describe('a deletion of an operator', () => {
  it('takes all of it, seeds too, when nothing else is left under it', async () => {
    const { body: made } = await make();
    const held = async () =>
      (await nats.platform.database.query<{ n: number }>('select count(*)::int as n from natsid.secret'))[0]
        ?.n ?? 0;
    const before = await held();
    const account = await root.post('/accounts', { operator_id: made.id, name: 'a' });
    expect(codeOf(await root.delete(`/operators/${made.id}`))).toEqual([409, 'conflict']);
    await nats.platform.database.query(`update natsid.account set state = 'deleted' where id = $1`, [
      account.body.id,
    ]);
    expect(codeOf(await root.delete(`/operators/${made.id}`, { 'if-match': '"9"' }))).toEqual([
      412,
      'precondition_failed',
    ]);
    const dump = await dumpOf(nats);
    expect((await root.delete(`/operators/${made.id}?dry_run=true`)).status).toBe(200);
    expect(await dumpOf(nats)).toEqual(dump);
    expect((await root.delete(`/operators/${made.id}`)).status).toBe(200);
    expect(codeOf(await root.get(`/operators/${made.id}`))).toEqual([404, 'not_found']);
    // Root, signing key, and identity and signing key of SYS.
    expect(await held()).toBe(before - 4);
    expect(await nats.told('natsid.operator.deleted', { id: made.id })).toHaveLength(1);
  });
});

describe('who may do what', () => {
  it('without a token is nobody, without a role may nothing', async () => {
    const { body: made } = await make();
    const nobody = callsOf(nats, undefined);
    const user = callsOf(nats, somebody);
    for (const [method, path] of [
      ['GET', '/operators'],
      ['POST', '/operators'],
      ['GET', `/operators/${made.id}`],
      ['PATCH', `/operators/${made.id}`],
      ['DELETE', `/operators/${made.id}`],
      ['PUT', `/operators/${made.id}/jwt`],
      ['POST', `/operators/${made.id}/signing-keys`],
      ['DELETE', `/operators/${made.id}/signing-keys/${made.public_key}`],
      ['POST', `/operators/${made.id}/resign`],
    ] as const) {
      const body = method === 'GET' || method === 'DELETE' ? undefined : {};
      expect((await nobody.request(method, path, body)).status).toBe(401);
      expect((await user.request(method, path, body)).status).toBe(403);
      if (method !== 'GET') expect((await admin.request(method, path, body)).status).toBe(403);
    }
  });

  it('of a tenant sees operators that are open, and knows of no other', async () => {
    const [open, closed] = [await make({ open_to_tenants: true }), await make()];
    expect((await admin.get(`/operators/${open.body.id}`)).status).toBe(200);
    expect(codeOf(await admin.get(`/operators/${closed.body.id}`))).toEqual([404, 'not_found']);
    const { items } = (await admin.get('/operators?limit=200')).body;
    const ids = items.map((item: { id: string }) => item.id);
    expect(ids).toContain(open.body.id);
    expect(ids).not.toContain(closed.body.id);
  });
});

describe('a list of operators', () => {
  it('is found by name, key and tag, and paged by signed cursors', async () => {
    const mark = freshName('list');
    const made = [];
    for (const n of [1, 2, 3])
      made.push((await make({ name: `${mark}-${n}`, claims: { tags: [mark] } })).body);
    const names = (answer: { body: { items: { name: string }[] } }) =>
      answer.body.items.map(({ name }) => name);
    expect(names(await root.get(`/operators?q=${mark.toUpperCase()}`))).toEqual(
      [3, 2, 1].map((n) => `${mark}-${n}`),
    );
    expect(names(await root.get(`/operators?q=${made[0].public_key.slice(0, 20)}`))).toEqual([`${mark}-1`]);
    expect(names(await root.get(`/operators?tag=${mark}`))).toHaveLength(3);
    expect(names(await root.get('/operators?q=%25'))).toEqual([]);
    const first = await root.get(`/operators?q=${mark}&limit=2`);
    expect(names(first)).toEqual([`${mark}-3`, `${mark}-2`]);
    const cursor = first.body.next_cursor;
    expect(names(await root.get(`/operators?q=${mark}&limit=2&cursor=${cursor}`))).toEqual([`${mark}-1`]);
    for (const path of [`/operators?q=other&cursor=${cursor}`, `/operators?q=${mark}&cursor=${cursor}x`])
      expect(codeOf(await root.get(path))).toEqual([400, 'bad_cursor']);
    expect(codeOf(await admin.get(`/operators?q=${mark}&limit=2&cursor=${cursor}`))).toEqual([
      400,
      'bad_cursor',
    ]);
  });
});
