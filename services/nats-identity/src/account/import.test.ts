import { auth } from '@gatehouse/auth';
import type { Service } from '@gatehouse/kit';
import { createNkey, decodeJwt, encodeJwt, type Nkey } from '@gatehouse/nats-claims';
import { token } from '@gatehouse/token';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Calls, callsOf, codeOf, freshName } from '../call-testing.ts';
import { platformActs } from '../change.ts';
import type { NatsIdentityContext } from '../context.ts';
import { createOperator } from '../operator/create-operator.ts';
import { natsIdentity } from '../service.ts';
import { startNatsIdentity, type TestNatsIdentity } from '../testing.ts';
import type { AccountImport } from './account-import.ts';
import { createAccountIn } from './create-account.ts';
import { accountSigner } from './signer.ts';

let nats: TestNatsIdentity;
let root: Calls;
let ctx: NatsIdentityContext;
beforeAll(async () => {
  const watched: Service = {
    ...natsIdentity,
    open: async (base) => {
      const opened = await natsIdentity.open(base);
      ctx = opened.ctx as unknown as NatsIdentityContext;
      return opened;
    },
  };
  nats = await startNatsIdentity({}, [auth, token, watched]);
  root = callsOf(nats, nats.root);
});
afterAll(() => nats?.close());

const iat = Math.floor(Date.now() / 1000) - 1_000;
const keys = () => ({ root: createNkey('operator'), signing: createNkey('operator') });

async function operator({ strict = true, more = {} }: { strict?: boolean; more?: object } = {}) {
  const { root: key, signing } = keys();
  const claims = { signing_keys: [signing.publicKey], strict_signing_key_usage: strict, ...more };
  const jwt = encodeJwt({ sub: key.publicKey, name: 'OP', iat }, { type: 'operator', ...claims }, key);
  const row = await ctx.db.transaction().execute((tx) =>
    createOperator(tx, ctx, {
      name: freshName('op'),
      import: { jwt, rootSeed: key.seed(), signingSeeds: [signing.seed()] },
      acting: platformActs,
    }),
  );
  return { id: row.id, key, signing };
}

const jwtOf = (account: Nkey, claims: object, signer: Nkey) =>
  encodeJwt({ sub: account.publicKey, name: 'A', iat }, { type: 'account', ...claims }, signer);

const take = (operatorId: string, from: AccountImport) =>
  ctx.db.transaction().execute((tx) =>
    createAccountIn(tx, ctx, {
      operatorId,
      tenantId: null,
      name: freshName('acc'),
      import: from,
      acting: platformActs,
    }),
  );
const signerOf = (id: string) => ctx.db.transaction().execute((tx) => accountSigner(tx, ctx, id));

describe('an account from elsewhere', () => {
  it('keeps its JWT to the byte; a change keeps what nobody here knows, keys, roles and revocations', async () => {
    const of = await operator();
    const [account, plain, scoped] = [createNkey('account'), createNkey('account'), createNkey('account')];
    const user = createNkey('user').publicKey;
    const scope = {
      role: 'r',
      description: 'd',
      template: { sub: { deny: ['x'] }, from_the_future: 1 },
      more: 2,
    };
    const claims = {
      limits: { conn: 7, subs: -1, data: -1, payload: -1, from_the_future: 3 },
      from_the_future: { a: [1] },
      signing_keys: [plain.publicKey, { kind: 'user_scope', key: scoped.publicKey, ...scope }],
      revocations: { [user]: 5, '*': 4 },
    };
    const jwt = jwtOf(account, claims, of.signing);
    const taken = await take(of.id, { jwt, seed: account.seed(), signingSeeds: [scoped.seed()] });
    const shown = (await root.get(`/accounts/${taken.id}`)).body;
    expect(shown.jwt).toBe(jwt);
    expect(shown.signing_keys).toMatchObject([
      { public_key: plain.publicKey, role: null, held: false },
      { public_key: scoped.publicKey, role: 'r', held: true },
    ]);
    const changed = await root.patch(`/accounts/${taken.id}`, { claims: { description: 'mine' } });
    expect(changed.status).toBe(200);
    const after = decodeJwt(changed.body.jwt);
    expect(after.iat).toBeGreaterThan(iat);
    expect(after.nats).toMatchObject({ ...claims, description: 'mine' });
  });

  it('is not widened by a change of something else: a limit that is missing is none, and is written out so', async () => {
    const of = await operator();
    const account = createNkey('account');
    const taken = await take(of.id, { jwt: jwtOf(account, { limits: { conn: 7 } }, of.signing) });
    const same = await root.patch(`/accounts/${taken.id}`, { claims: { limits: { conn: 7 } } });
    expect(same.body).toMatchObject({ revision: 1, change: { diff: [] } });
    const changed = await root.patch(`/accounts/${taken.id}`, { claims: { tags: ['x'] } });
    expect(changed.body.claims.limits).toMatchObject({
      conn: 7,
      subs: 0,
      leaf: 0,
      exports: 0,
      wildcards: false,
    });
    expect(changed.body.change.diff).toEqual([{ path: 'tags', before: null, after: ['x'] }]);
  });

  it('is refused when a stranger signed it, or its seeds are others’', async () => {
    const of = await operator();
    const [account, key] = [createNkey('account'), createNkey('account')];
    const sound = jwtOf(account, { signing_keys: [key.publicKey] }, of.signing);
    const refused: readonly AccountImport[] = [
      { jwt: jwtOf(account, {}, createNkey('operator')) },
      { jwt: jwtOf(account, {}, account) },
      { jwt: `${sound.slice(0, -4)}AAAA` },
      { jwt: encodeJwt({ sub: account.publicKey, iat }, { type: 'user' }, of.signing) },
      { jwt: jwtOf(account, { signing_keys: [account.publicKey] }, of.signing) },
      { jwt: jwtOf(account, { signing_keys: [key.publicKey, key.publicKey] }, of.signing) },
      { jwt: jwtOf(account, { revocations: { '*': 'x' } }, of.signing) },
      { jwt: sound, seed: key.seed() },
      { jwt: sound, seed: createNkey('user').seed() },
      { jwt: sound, signingSeeds: [account.seed()] },
    ];
    for (const from of refused)
      await expect(take(of.id, from)).rejects.toMatchObject({ code: 'invalid_import' });
    await take(of.id, { jwt: sound });
    await expect(take(of.id, { jwt: sound })).rejects.toMatchObject({ code: '23505' });
  });

  it('becomes the system account that the operator’s JWT names', async () => {
    const system = createNkey('account');
    const of = await operator({ more: { system_account: system.publicKey } });
    const taken = await take(of.id, { jwt: jwtOf(system, {}, of.signing) });
    expect(taken.kind).toBe('system');
    const shown = (await root.get(`/operators/${of.id}`)).body;
    expect(shown.system_account_id).toBe(taken.id);
    expect(shown.claims.system_account).toBeUndefined();
    const changed = await root.patch(`/operators/${of.id}`, { claims: { tags: ['x'] } });
    expect(decodeJwt(changed.body.jwt).nats.system_account).toBe(system.publicKey);
    expect(codeOf(await root.delete(`/accounts/${taken.id}`))).toEqual([409, 'conflict']);
  });
});

describe('what signs an account’s plain users', () => {
  it('is its newest plain signing key that is held', async () => {
    const of = await operator();
    const [account, key] = [createNkey('account'), createNkey('account')];
    const jwt = jwtOf(account, { signing_keys: [key.publicKey] }, of.signing);
    const { id } = await take(of.id, { jwt, seed: account.seed(), signingSeeds: [key.seed()] });
    expect(await signerOf(id)).toMatchObject({
      key: { publicKey: key.publicKey },
      issuerAccount: account.publicKey,
    });
    const added = await root.post(`/accounts/${id}/signing-keys`);
    const newest = added.body.signing_keys[1].public_key;
    expect((await signerOf(id)).key.publicKey).toBe(newest);
  });

  it('is the identity key under an operator that is not strict', async () => {
    const of = await operator({ strict: false });
    const account = createNkey('account');
    const { id } = await take(of.id, { jwt: jwtOf(account, {}, of.key), seed: account.seed() });
    expect(await signerOf(id)).toMatchObject({
      key: { publicKey: account.publicKey },
      issuerAccount: undefined,
    });
  });

  it('is a key made at that moment under a strict one: one, however many ask at once, and the JWT names it', async () => {
    const of = await operator();
    const account = createNkey('account');
    const { id } = await take(of.id, { jwt: jwtOf(account, {}, of.signing), seed: account.seed() });
    const signers = await Promise.all([signerOf(id), signerOf(id), signerOf(id)]);
    const made = new Set(signers.map(({ key }) => key.publicKey));
    expect(made.size).toBe(1);
    const { body } = await root.get(`/accounts/${id}`);
    expect(decodeJwt(body.jwt).nats.signing_keys).toEqual([...made]);
  });

  it('is nothing when only public keys are here', async () => {
    const { root: key, signing } = keys();
    const jwt = encodeJwt(
      { sub: key.publicKey, iat },
      { type: 'operator', signing_keys: [signing.publicKey] },
      key,
    );
    const made = await root.post('/operators', { name: freshName('op'), import: { jwt } });
    const account = createNkey('account');
    const { id } = await take(made.body.id, { jwt: jwtOf(account, {}, signing) });
    await expect(signerOf(id)).rejects.toMatchObject({ code: 'no_signing_key' });
    expect(codeOf(await root.patch(`/accounts/${id}`, { claims: { tags: ['x'] } }))).toEqual([
      409,
      'no_signing_key',
    ]);
  });
});
