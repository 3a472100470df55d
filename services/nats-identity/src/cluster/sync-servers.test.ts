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
const failures = async (id: string) =>
  (await ground.events('natsid.sync.failed')).filter(({ account_id }) => account_id === id);

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
  const { ctx, operator } = ground;
  const account = await ground.addAccount();
  await ground.proven(account.id);
  // A new signing key that two of three servers know already.
  const { jwt: operatorJwt } = await ctx.db.transaction().execute(async (tx) => {
    const { key, secretId } = await makeKey(tx, ctx, 'operator_signing', 'operator');
    await tx
      .insertInto('operator_key')
      .values({
        id: newId(),
        operator_id: operator.id,
        public_key: key.publicKey,
        secret_id: secretId,
        state: 'pending',
      })
      .execute();
    return reissueOperator(tx, ctx, operator.id);
  });
  for (const index of [0, 1]) {
    await server(index).stop();
    await server(index).start({ operatorJwt });
  }
  await eventually(async () => (await ground.ask('$SYS.REQ.SERVER.PING')).length === 3, 20_000);
  // Somebody lets it sign too early.
  const changed = await ctx.db.transaction().execute(async (tx) => {
    await tx.updateTable('operator_key').set({ state: 'active' }).where('state', '=', 'pending').execute();
    return (await reissueAccount(tx, ctx, account.id)).account;
  });
  expect(changed.issuer_key).not.toBe(account.issuer_key);
  ctx.reconciler.poke();
  await eventually(async () => {
    expect(await ground.syncRow(account.id)).toMatchObject({
      state: 'operator_key_untrusted',
      error: expect.stringMatching(/nothing was sent.*s2/),
    });
    expect(await states()).toBe('in_sync,in_sync,operator_key_untrusted');
  }, 20_000);
  expect(await ground.stored(account.public_key)).toEqual(thrice(account.jwt));

  await server(2).stop();
  await server(2).start({ operatorJwt });
  await ground.proven(account.id, 20_000);
  expect(await ground.stored(account.public_key)).toEqual(thrice(changed.jwt));
}, 60_000);

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
