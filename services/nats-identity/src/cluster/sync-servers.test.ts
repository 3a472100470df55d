import { newId } from '@gatehouse/kit';
import { eventually } from '@gatehouse/kit/testing';
import { jwtHash } from '@gatehouse/nats-claims';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { reissueAccount } from '../account-jwt.ts';
import { reissueOperator } from '../operator/operator-jwt.ts';
import { makeKey } from '../secret.ts';
import { type SyncGround, startSyncGround } from './sync-testing.ts';

let ground: SyncGround;
beforeAll(async () => {
  ground = await startSyncGround();
}, 60_000);
afterAll(() => ground?.close());
// Whatever the test before did, all are there.
beforeEach(() => eventually(async () => (await states()) === 'in_sync,in_sync,in_sync', 30_000), 40_000);

const thrice = (jwt: string) => [jwt, jwt, jwt];
const hexOf = (jwt: string) => jwtHash(jwt).toString('hex');
const server = (index: number) => {
  const found = ground.cluster.servers[index];
  if (found === undefined) throw new Error('no such server');
  return found;
};
const states = async () =>
  (
    await ground.platform.database.query<{ state: string }>(
      'select state from natsid.cluster_server order by server_name',
    )
  )
    .map(({ state }) => state)
    .join();
const unproven = async () =>
  (
    await ground.platform.database.query<{ n: number }>(
      'select count(*)::int as n from natsid.account_sync where proven < wanted',
    )
  )[0]?.n;
const failures = async (id: string) =>
  (await ground.events('natsid.sync.failed')).filter(({ account_id }) => account_id === id);

/** A signing key that waits for the servers, and the operator's JWT with it. */
const addSigningKey = () =>
  ground.ctx.db.transaction().execute(async (tx) => {
    const { ctx, operator } = ground;
    const { key, secretId } = await makeKey(tx, ctx, 'operator_signing', 'operator');
    const about = { operator_id: operator.id, public_key: key.publicKey, secret_id: secretId };
    await tx
      .insertInto('operator_key')
      .values({ id: newId(), ...about, state: 'pending' })
      .execute();
    return reissueOperator(tx, ctx, operator.id);
  });

/** Lets it sign, whoever trusts it, and has an account signed anew. */
const signWithNewKey = (id: string) =>
  ground.ctx.db.transaction().execute(async (tx) => {
    await tx.updateTable('operator_key').set({ state: 'active' }).where('state', '=', 'pending').execute();
    return (await reissueAccount(tx, ground.ctx, id)).account;
  });

const restart = async (index: number, operatorJwt: string) => {
  await server(index).stop();
  await server(index).start({ operatorJwt });
};

it.each([
  { how: 'stopped', end: 'stop', wiped: false, holds: 'its old store' },
  { how: 'killed', end: 'kill', wiped: true, holds: 'an empty store' },
] as const)(
  'a server that is $how during an update and returns with $holds: reported, then brought to it',
  async ({ end, wiped }) => {
    const account = await ground.addAccount();
    const untouched = await ground.addAccount();
    await Promise.all([ground.proven(account.id), ground.proven(untouched.id)]);
    await server(2)[end]();
    const changed = await ground.change(account.id, 'while one is away');
    await eventually(async () => {
      const row = await ground.syncRow(account.id);
      expect(row).toMatchObject({ state: 'unreachable', error: expect.stringContaining('s2') });
      // Partial, and shown as that: the others have it.
      expect(row.servers).toMatchObject({
        s0: { stored: hexOf(changed.jwt) },
        s1: { stored: hexOf(changed.jwt) },
        s2: { stored: null, error: expect.any(String) },
      });
      expect(Number(row.proven)).toBeLessThan(Number(row.wanted));
    }, 20_000);
    await eventually(async () => expect(await states()).toBe('in_sync,in_sync,unreachable'));
    expect(await failures(account.id)).toHaveLength(1);

    await server(2).start({ wiped });
    await ground.proven(account.id, 20_000);
    await eventually(async () => {
      expect(await ground.stored(account.public_key)).toEqual(thrice(changed.jwt));
      expect(await ground.stored(untouched.public_key)).toEqual(thrice(untouched.jwt));
    }, 20_000);
    await ground.proven(untouched.id);
    expect(await failures(account.id)).toHaveLength(1);
  },
  60_000,
);

it('while one server does not trust the signer nothing is sent to any; after its restart it goes on', async () => {
  const account = await ground.addAccount();
  await ground.proven(account.id);
  // A new signing key that two of three servers know already.
  const { jwt: operatorJwt } = await addSigningKey();
  for (const index of [0, 1]) await restart(index, operatorJwt);
  await eventually(async () => (await ground.ask('$SYS.REQ.SERVER.PING')).length === 3, 20_000);
  // Somebody lets it sign too early.
  const changed = await signWithNewKey(account.id);
  expect(changed.issuer_key).not.toBe(account.issuer_key);
  ground.ctx.reconciler.poke();
  await eventually(async () => {
    expect(await ground.syncRow(account.id)).toMatchObject({
      state: 'operator_key_untrusted',
      error: expect.stringMatching(/nothing was sent.*s2/),
    });
    expect(await states()).toBe('in_sync,in_sync,operator_key_untrusted');
  }, 20_000);
  expect(await ground.stored(account.public_key)).toEqual(thrice(account.jwt));

  await restart(2, operatorJwt);
  await ground.proven(account.id, 20_000);
  expect(await ground.stored(account.public_key)).toEqual(thrice(changed.jwt));
}, 60_000);

it('a server that starts anew with an older operator JWT: what was proven is not any more, until its next start', async () => {
  const { ctx, operator } = ground;
  const { jwt: older } = await ctx.db
    .selectFrom('operator')
    .select('jwt')
    .where('id', '=', operator.id)
    .executeTakeFirstOrThrow();
  const { jwt: newer } = await addSigningKey();
  for (const index of [0, 1, 2]) await restart(index, newer);
  await eventually(async () => expect(await states()).toBe('in_sync,in_sync,in_sync'), 20_000);
  const first = await ground.addAccount();
  const account = await signWithNewKey(first.id);
  await ground.proven(account.id, 20_000);
  await ground.addAccounts(30);
  await eventually(async () => expect(await unproven()).toBe(0), 20_000);
  const told = await ground.events('natsid.cluster.drifted');
  const failed = await ground.events('natsid.sync.failed');

  await restart(2, older);
  await eventually(async () => {
    expect(await ground.syncRow(account.id)).toMatchObject({
      state: 'operator_key_untrusted',
      error: 's2 does not trust the operator key that signed the account',
    });
    expect(await states()).toBe('in_sync,in_sync,operator_key_untrusted');
  }, 20_000);
  expect(await ground.stored(account.public_key)).toEqual(thrice(account.jwt));
  // All of them at once: some are told by name, the cluster's health tells the rest.
  expect((await ground.events('natsid.cluster.drifted')).length - told.length).toBe(20);
  expect(await ground.events('natsid.sync.failed')).toHaveLength(failed.length);

  await restart(2, newer);
  await ground.proven(account.id, 20_000);
  await eventually(async () => expect(await unproven()).toBe(0), 20_000);
}, 90_000);

it('when no server answers, what is wanted says so, and arrives when they are back', async () => {
  const account = await ground.addAccount();
  await ground.proven(account.id);
  await Promise.all([0, 1, 2].map((index) => server(index).kill()));
  const changed = await ground.change(account.id, 'into the void');
  await eventually(async () => {
    expect(await ground.syncRow(account.id)).toMatchObject({ state: 'unreachable' });
  }, 20_000);
  await Promise.all([0, 1, 2].map((index) => server(index).start()));
  await ground.proven(account.id, 30_000);
  // Our own connection may still be on its way back.
  await eventually(async () => {
    expect(await ground.stored(account.public_key)).toEqual(thrice(changed.jwt));
  }, 20_000);
  expect(await failures(account.id)).toHaveLength(1);
}, 60_000);
