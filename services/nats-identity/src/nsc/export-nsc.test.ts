import { decodeJwt, type NscFile, parseCreds, readNscStore } from '@gatehouse/nats-claims';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startNatsIdentity, type TestNatsIdentity } from '../testing.ts';
import { makeStore, type TestStore } from './nsc-testing.ts';

let here: TestNatsIdentity;
let elsewhere: TestNatsIdentity;
beforeAll(async () => {
  [here, elsewhere] = await Promise.all([startNatsIdentity(), startNatsIdentity()]);
  // Two installations, on whatever machine.
}, 120_000);
afterAll(() => Promise.all([here?.close(), elsewhere?.close()]));

const bring = async (nis: TestNatsIdentity, files: readonly object[]) => {
  const answer = await nis.api.post('/api/nats/import/nsc', { files }, { token: nis.root.token });
  expect(answer.status, answer.text).toBe(201);
  return answer.body;
};
const take = async (id: string, seeds: boolean, token = here.root.token) =>
  here.api.post(`/api/nats/operators/${id}/export/nsc`, { seeds, reason: 'moving out' }, { token });

/** What a store says: every claim that does not differ from one issue to the next, and every seed. */
function said(files: readonly NscFile[]) {
  const { operators, seeds, faults } = readNscStore(files);
  expect(faults).toEqual([]);
  const [operator] = operators;
  if (operator === undefined) throw new Error('no operator');
  const claims = ({ jwt }: { jwt: string }) => {
    const { sub, iss, name, nats } = decodeJwt(jwt);
    return { sub, iss, name, nats };
  };
  const byKey = <T extends { publicKey: string }>(list: readonly T[]) =>
    [...list].sort((a, b) => (a.publicKey < b.publicKey ? -1 : 1));
  return {
    operator: operator.jwt,
    accounts: byKey(operator.accounts).map((account) => account.jwt),
    users: byKey(operator.accounts.flatMap(({ users }) => users)).map(claims),
    seeds: [...seeds.keys()].sort(),
  };
}

/** Who is revoked is not issued anything. */
const withoutRevoked = (store: TestStore) => store.files.filter(({ path }) => !path.endsWith('stolen.jwt'));

describe('an export', () => {
  it('import, export, import elsewhere, export: the same claims, JWTs of accounts to the byte, the same seeds', async () => {
    const store = makeStore();
    const { operator } = await bring(here, store.files);
    const exported = await take(operator.id, true);
    expect(exported.status, exported.text).toBe(200);
    expect(exported.headers.get('cache-control')).toContain('no-store');
    expect(exported.body.left_out).toEqual([
      { path: `user stolen (${store.keys.stolen.publicKey})`, message: expect.any(String) },
    ]);
    const { files } = exported.body;
    const first = said(files);
    const original = said(withoutRevoked(store));
    expect(first.operator).toBe(original.operator);
    expect(first.accounts).toEqual(original.accounts);
    expect(first.users).toEqual(original.users);
    expect(first.seeds).toEqual(original.seeds);
    const again = await bring(elsewhere, files);
    const answer = await elsewhere.api.post(
      `/api/nats/operators/${again.operator.id}/export/nsc`,
      { seeds: true },
      { token: elsewhere.root.token },
    );
    // A seed whose user was left out came to nothing elsewhere.
    const seeds = first.seeds.filter((key) => key !== store.keys.stolen.publicKey);
    expect(said(answer.body.files)).toEqual({ ...first, seeds });
  });

  it('its creds are creds, its files for their owner alone', async () => {
    const store = makeStore();
    const { operator } = await bring(here, store.files);
    const { files } = (await take(operator.id, true)).body;
    expect(new Set(files.map(({ mode }: { mode: number }) => mode))).toEqual(new Set([0o600]));
    const creds = files.find(({ path }: NscFile) => path.endsWith('/orders/printer.creds'));
    const parsed = parseCreds(creds.content);
    expect(parsed?.seed).toBe(store.keys.printer.seed().toString());
    expect(decodeJwt(parsed?.jwt ?? '').iss).toBe(store.keys.worker.publicKey);
    expect(files.some(({ path }: NscFile) => path.endsWith('/orders/own.creds'))).toBe(false);
  });

  it('without seeds holds no private key, and nothing that signs in by itself', async () => {
    const store = makeStore();
    const { operator } = await bring(here, store.files);
    const answer = await take(operator.id, false);
    for (const seed of store.seeds) expect(answer.text).not.toContain(seed);
    expect(answer.text).not.toMatch(/S[OAU][A-Z2-7]{56}/);
    expect(answer.body.left_out.map(({ path }: { path: string }) => path)).toContain(
      `user bearer (${store.keys.bearer.publicKey})`,
    );
    const { users, seeds } = said(answer.body.files);
    expect(users.map(({ name }) => name).sort()).toEqual(['own', 'printer', 'probe']);
    expect(seeds).toEqual([]);
  });

  it('is told with its reason; what it issued is in the ledger, so that a revocation reaches it', async () => {
    const store = makeStore();
    const { operator } = await bring(here, store.files);
    await take(operator.id, true);
    expect(await here.told('natsid.nsc.exported', { operator_id: operator.id })).toMatchObject([
      { data: { seeds: true, accounts: 3, users: 4, reason: 'moving out', actor_id: here.root.userId } },
    ]);
    const issued = await here.platform.database.query<{ name: string }>(
      `select u.name from natsid.credential c join natsid.nats_user u on u.id = c.user_id
       where c.issued_by is not null and c.expires_at is not null and u.public_key = any($1) order by 1`,
      [Object.values(store.keys).map(({ publicKey }) => publicKey)],
    );
    expect(issued.map(({ name }) => name)).toEqual(['bearer', 'own', 'printer', 'probe']);
    const events = JSON.stringify(await here.platform.database.query('select data from natsid.outbox'));
    for (const seed of store.seeds) expect(events).not.toContain(seed);
  });

  it('is for platform administrators, of an operator that is there', async () => {
    const { operator } = await bring(here, makeStore().files);
    const admin = await here.tenantAdmin();
    expect((await take(operator.id, false, admin.token)).status).toBe(403);
    expect((await take('01890000-0000-7000-8000-000000000000', true)).status).toBe(404);
  });

  it('private keys of the platform’s own bus never leave it', async () => {
    const store = makeStore();
    const { operator } = await bring(here, store.files);
    await here.platform.database.query('update natsid.operator set own = true where id = $1', [operator.id]);
    const refused = await take(operator.id, true);
    expect({ status: refused.status, code: refused.body.code }).toEqual({ status: 403, code: 'forbidden' });
    expect((await take(operator.id, false)).status).toBe(200);
    expect(await here.told('natsid.nsc.exported', { operator_id: operator.id, seeds: true })).toEqual([]);
  });

  it('names that are no file names lead nowhere', async () => {
    const { operator } = await bring(here, makeStore().files);
    await here.platform.database.query('update natsid.operator set name = $2 where id = $1', [
      operator.id,
      '../../etc/passwd',
    ]);
    await here.platform.database.query(`update natsid.account set name = $2 || name where operator_id = $1`, [
      operator.id,
      '../',
    ]);
    const { files } = (await take(operator.id, true)).body;
    for (const { path } of files) expect(path.split('/')).not.toContain('..');
    expect(said(files).accounts).toHaveLength(3);
  });
});
