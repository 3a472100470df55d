import { eventually } from '@gatehouse/kit/testing';
import { createNkey, decodeJwt, encodeJwt, type Nkey } from '@gatehouse/nats-claims';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Calls, callsOf, codeOf, dumpOf, freshName } from '../call-testing.ts';
import { startNatsIdentity, type TestNatsIdentity } from '../testing.ts';

let nats: TestNatsIdentity;
let root: Calls;
beforeAll(async () => {
  nats = await startNatsIdentity();
  root = callsOf(nats, nats.root);
});
afterAll(() => nats?.close());

const now = () => Math.floor(Date.now() / 1000);
const seed = (key: Nkey) => key.seed().toString();
const make = async (body: object = {}) =>
  (await root.post('/operators', { name: freshName('op'), ...body })).body;
const show = async (id: string) => (await root.get(`/operators/${id}`)).body;
const addKey = (id: string, body: object = {}) => root.post(`/operators/${id}/signing-keys`, body);
const removeKey = (id: string, key: string, query = '') =>
  root.delete(`/operators/${id}/signing-keys/${key}${query}`);
const statesOf = (operator: { signing_keys: { public_key: string; state: string }[] }) =>
  Object.fromEntries(operator.signing_keys.map(({ public_key, state }) => [public_key, state]));
const issuerOf = async (id: string) => decodeJwt((await root.get(`/accounts/${id}`)).body.jwt).iss;
/** A cluster that nobody reaches: nothing is ever proven on it. */
const addCluster = (operatorId: string) =>
  nats.platform.database.query(
    `insert into natsid.cluster (id, operator_id, name, servers, healthy)
     values (gen_random_uuid(), $1, $2, array['nats://127.0.0.1:1'], false)`,
    [operatorId, freshName('c')],
  );

describe('a new signing key', () => {
  it('signs at once where no server must learn it first; the newest signs', async () => {
    const made = await make();
    const added = await addKey(made.id, { reason: 'why' });
    expect(added.status).toBe(201);
    const key = added.body.signing_keys[1];
    expect(key).toMatchObject({ state: 'active', held: true });
    const jwt = decodeJwt(added.body.jwt);
    expect(jwt.nats.signing_keys).toEqual(
      added.body.signing_keys.map((one: { public_key: string }) => one.public_key),
    );
    expect(jwt.iat).toBeGreaterThan(decodeJwt(made.jwt).iat);
    const account = await root.post('/accounts', { operator_id: made.id, name: 'a' });
    expect(await issuerOf(account.body.id)).toBe(key.public_key);
    const [told] = await nats.told('natsid.operator.key_added', { id: made.id });
    expect(told?.data).toMatchObject({ key: key.public_key, reason: 'why' });
    expect(JSON.stringify([added.body, told])).not.toMatch(/SO[A-Z2-7]{56}/);
  });

  it('is pending while the operator has clusters, and signs nothing', async () => {
    const made = await make();
    await addCluster(made.id);
    const added = await addKey(made.id);
    const [first, second] = added.body.signing_keys;
    expect([first.state, second.state]).toEqual(['active', 'pending']);
    const account = await root.post('/accounts', { operator_id: made.id, name: 'a' });
    expect(await issuerOf(account.body.id)).toBe(first.public_key);
    const removed = await removeKey(made.id, second.public_key);
    expect(statesOf(removed.body)).toEqual({ [first.public_key]: 'active' });
    expect(decodeJwt(removed.body.jwt).nats.signing_keys).toEqual([first.public_key]);
  });

  it('may be brought along, with its seed or without; never the root key, never one that is known', async () => {
    const made = await make();
    const [held, other] = [createNkey('operator'), createNkey('operator')];
    const withSeed = await addKey(made.id, { seed: seed(held) });
    expect(withSeed.body.signing_keys[1]).toMatchObject({ public_key: held.publicKey, held: true });
    expect(withSeed.text).not.toContain(seed(held));
    const bare = await addKey(made.id, { public_key: other.publicKey });
    expect(bare.body.signing_keys[2]).toMatchObject({ public_key: other.publicKey, held: false });
    expect(codeOf(await addKey(made.id, { public_key: held.publicKey }))).toEqual([409, 'public_key_taken']);
    for (const wrong of [
      { public_key: made.public_key },
      { public_key: `O${'C'.repeat(55)}` },
      { seed: 'nonsense' },
      { seed: seed(createNkey('account')) },
    ])
      expect(codeOf(await addKey(made.id, wrong))).toEqual([400, 'invalid_import']);
    const both = { seed: seed(createNkey('operator')), public_key: other.publicKey };
    expect(codeOf(await addKey(made.id, both))).toEqual([400, 'invalid_request']);
    const before = await dumpOf(nats);
    expect((await root.post(`/operators/${made.id}/signing-keys?dry_run=true`)).body.jwt).toBe('');
    expect(await dumpOf(nats)).toEqual(before);
  });
});

describe('a signing key that is taken away', () => {
  it('leaves the JWT when every account is signed anew; the last one stays', async () => {
    const made = await make();
    const first = made.signing_keys[0].public_key;
    expect(codeOf(await removeKey(made.id, first))).toEqual([409, 'key_in_use']);
    const account = await root.post('/accounts', { operator_id: made.id, name: 'a' });
    const before = decodeJwt((await root.get(`/accounts/${account.body.id}`)).body.jwt);
    const second = (await addKey(made.id)).body.signing_keys[1].public_key;
    const dump = await dumpOf(nats);
    const dry = await removeKey(made.id, first, '?dry_run=true');
    expect(dry.body.change).toMatchObject({ dry_run: true, affected: { accounts: 2 } });
    expect(await dumpOf(nats)).toEqual(dump);
    const removed = await removeKey(made.id, first, '?reason=why');
    expect(removed.body.change.affected.accounts).toBe(2);
    expect(statesOf(removed.body)).toEqual({ [second]: 'active' });
    expect(decodeJwt(removed.body.jwt).nats.signing_keys).toEqual([second]);
    const after = decodeJwt((await root.get(`/accounts/${account.body.id}`)).body.jwt);
    expect(after.iss).toBe(second);
    expect(after.iat).toBeGreaterThan(before.iat);
    expect(await issuerOf(made.system_account_id)).toBe(second);
    const [retiring] = await nats.told('natsid.operator.key_retiring', { id: made.id });
    expect(retiring?.data).toMatchObject({ key: first, reason: 'why', accounts: 2 });
    expect(await nats.told('natsid.operator.key_removed', { id: made.id, key: first })).toHaveLength(1);
    const secrets = await nats.platform.database.query('select id from natsid.secret where public_key = $1', [
      first,
    ]);
    expect(secrets).toEqual([]);
    expect(codeOf(await removeKey(made.id, first))).toEqual([404, 'not_found']);
  });

  it('stays in the JWT until every server is proven to have what was signed anew', async () => {
    const made = await make();
    const first = made.signing_keys[0].public_key;
    const second = (await addKey(made.id)).body.signing_keys[1].public_key;
    await addCluster(made.id);
    const removed = await removeKey(made.id, first);
    expect(statesOf(removed.body)).toEqual({ [first]: 'retiring', [second]: 'active' });
    expect(decodeJwt(removed.body.jwt).nats.signing_keys).toEqual([first, second]);
    expect(await issuerOf(made.system_account_id)).toBe(second);
    // As if the cluster had answered.
    await nats.platform.database.query(
      `update natsid.account_sync set proven = wanted
       where account_id in (select id from natsid.account where operator_id = $1)`,
      [made.id],
    );
    await eventually(
      async () => expect(statesOf(await show(made.id))).toEqual({ [second]: 'active' }),
      15_000,
    );
    expect(decodeJwt((await show(made.id)).jwt).nats.signing_keys).toEqual([second]);
  });

  it('of many accounts is let go in the background, and whatever was made meanwhile is signed by the new one', async () => {
    const made = await make();
    const first = made.signing_keys[0].public_key;
    await nats.platform.database.query(
      `insert into natsid.account (id, operator_id, name, public_key, claims, jwt, jwt_iat, jwt_sha256, issuer_key)
       select gen_random_uuid(), $1, 'many-' || n, 'A' || md5(n::text || $1::uuid), '{}', 'x', 1, ''::bytea, $2
       from generate_series(1, 150) n`,
      [made.id, first],
    );
    const second = (await addKey(made.id)).body.signing_keys[1].public_key;
    const making = Array.from({ length: 5 }, (_, n) =>
      root.post('/accounts', { operator_id: made.id, name: `late-${n}` }),
    );
    const removed = await removeKey(made.id, first);
    expect([removed.status, removed.text.slice(0, 300)]).toEqual([200, expect.anything()]);
    expect(removed.body.change.affected.accounts).toBeGreaterThan(150);
    expect(statesOf(removed.body)[first]).toBe('retiring');
    for (const { status } of await Promise.all(making)) expect(status).toBe(201);
    await eventually(
      async () => expect(statesOf(await show(made.id))).toEqual({ [second]: 'active' }),
      30_000,
    );
    const left = await nats.platform.database.query(
      'select issuer_key, count(*)::int as n from natsid.account where operator_id = $1 group by 1',
      [made.id],
    );
    expect(left).toEqual([{ issuer_key: second, n: 156 }]);
  }, 60_000);
});

describe('an operator whose root key is offline', () => {
  const offline = async () => {
    const [operator, signing] = [createNkey('operator'), createNkey('operator')];
    const jwtOf = (keys: string[], iat: number, more: object = {}) =>
      encodeJwt(
        { sub: operator.publicKey, name: 'OP', iat },
        { type: 'operator', signing_keys: keys, ...more },
        operator,
      );
    const iat = now() - 100;
    const made = await make({
      import: { jwt: jwtOf([signing.publicKey], iat), signing_seeds: [seed(signing)] },
    });
    return { made, signing: signing.publicKey, jwtOf, iat };
  };
  const put = (id: string, jwt: string, query = '') => root.put(`/operators/${id}/jwt${query}`, { jwt });

  it('changes by a newer JWT of its own only', async () => {
    const { made, signing, jwtOf, iat } = await offline();
    expect(codeOf(await root.patch(`/operators/${made.id}`, { claims: { tags: ['x'] } }))).toEqual([
      409,
      'no_signing_key',
    ]);
    expect((await root.patch(`/operators/${made.id}`, { open_to_tenants: true })).status).toBe(200);
    const other = createNkey('operator');
    const refused = [
      jwtOf([signing], iat),
      jwtOf([signing], iat - 1),
      encodeJwt({ sub: other.publicKey, iat: now() }, { type: 'operator' }, other),
      encodeJwt({ sub: made.public_key, iat: now() }, { type: 'operator' }, other),
      'nonsense',
    ];
    for (const jwt of refused) expect(codeOf(await put(made.id, jwt))).toEqual([400, 'invalid_import']);
    const newer = jwtOf([signing], iat + 1, { tags: ['x'], from_the_future: 1 });
    const before = await dumpOf(nats);
    expect((await put(made.id, newer, '?dry_run=true')).body.change.dry_run).toBe(true);
    expect(await dumpOf(nats)).toEqual(before);
    const taken = await put(made.id, newer);
    expect(taken.body).toMatchObject({ jwt: newer, claims: { tags: ['x'], from_the_future: 1 } });
    expect(taken.body.change.diff).toHaveLength(2);
    const stale = await root.put(
      `/operators/${made.id}/jwt`,
      { jwt: jwtOf([signing], iat + 2) },
      { 'if-match': '"1"' },
    );
    expect(codeOf(stale)).toEqual([412, 'precondition_failed']);
  });

  it('gets a signing key here, which signs once a JWT names it; one that is left out retires', async () => {
    const { made, signing, jwtOf, iat } = await offline();
    const account = await root.post('/accounts', { operator_id: made.id, name: 'a' });
    expect(await issuerOf(account.body.id)).toBe(signing);
    const added = await addKey(made.id);
    const next = added.body.signing_keys[1].public_key;
    expect(statesOf(added.body)).toEqual({ [signing]: 'active', [next]: 'pending' });
    expect(added.body.jwt).toBe(made.jwt);
    expect(codeOf(await put(made.id, jwtOf([], iat + 1)))).toEqual([409, 'key_in_use']);
    const outside = createNkey('operator').publicKey;
    const named = await put(made.id, jwtOf([signing, next, outside], iat + 1));
    expect(statesOf(named.body)).toEqual({ [signing]: 'active', [next]: 'active', [outside]: 'active' });
    // Only the root key takes it out of the JWT: until then it is retiring, and signs nothing.
    const retiring = await removeKey(made.id, signing);
    expect(statesOf(retiring.body)[signing]).toBe('retiring');
    expect(await issuerOf(account.body.id)).toBe(next);
    const last = await put(made.id, jwtOf([next], iat + 2));
    expect(statesOf(last.body)).toEqual({ [next]: 'active' });
    expect(await nats.told('natsid.operator.key_removed', { id: made.id })).toHaveLength(2);
  });
});
