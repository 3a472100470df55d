import { eventually } from '@gatehouse/kit/testing';
import { createNkey, encodeJwt, jwtHash } from '@gatehouse/nats-claims';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { diffCluster } from './diff-cluster.ts';
import { syncCluster } from './sync-cluster.ts';
import { type SyncGround, startSyncGround } from './sync-testing.ts';

let ground: SyncGround;
beforeAll(async () => {
  ground = await startSyncGround();
}, 60_000);
afterAll(() => ground?.close());

const hexOf = (jwt: string) => jwtHash(jwt).toString('hex');
const thrice = (jwt: string) => [jwt, jwt, jwt];
const nowSeconds = () => Math.floor(Date.now() / 1_000);

it('a push is counted, and read back from each of three servers', async () => {
  const account = await ground.addAccount();
  const row = await ground.proven(account.id);
  expect(await ground.stored(account.public_key)).toEqual(thrice(account.jwt));
  expect(Object.keys(row.servers).sort()).toEqual(['s0', 's1', 's2']);
  for (const server of Object.values(row.servers))
    expect(server).toMatchObject({ stored: hexOf(account.jwt), enforced: 'not_loaded' });
});

it('where an account is loaded, what the server enforces is read back', async () => {
  const account = await ground.addAccount();
  await ground.proven(account.id);
  await ground.user(account.id, ground.cluster.servers[1]?.url ?? '');
  const changed = await ground.change(account.id, 'enforced');
  const row = await ground.proven(account.id);
  expect(row.servers).toMatchObject({
    s0: { stored: hexOf(changed.jwt), enforced: 'not_loaded' },
    s1: { stored: hexOf(changed.jwt), enforced: hexOf(changed.jwt) },
  });
});

it('two updates within one second from two instances: every server ends with the last', async () => {
  const second = await ground.second();
  const accounts = await Promise.all([ground.addAccount(), ground.addAccount(), ground.addAccount()]);
  const last = await Promise.all(
    accounts.map(async ({ id }) => {
      const [one, two] = await Promise.all([
        ground.change(id, 'by the first'),
        ground.change(id, 'by the second', second.ctx),
      ]);
      expect(one.jwt_iat).not.toBe(two.jwt_iat);
      return Number(one.jwt_iat) > Number(two.jwt_iat) ? one : two;
    }),
  );
  for (const account of last) {
    await ground.proven(account.id);
    expect(await ground.stored(account.public_key)).toEqual(thrice(account.jwt));
  }
  await second.stop();
});

it('a JWT that a stranger signed, pushed by hand: reported, and ours is put back newer', async () => {
  const account = await ground.addAccount();
  await ground.proven(account.id);
  const stranger = createNkey('operator');
  const iat = Number(account.jwt_iat) + 1_000;
  const bad = encodeJwt(
    { sub: account.public_key, name: 'mine now', iat },
    { ...account.claims, type: 'account' },
    stranger,
  );
  const answers = await ground.ask('$SYS.REQ.CLAIMS.UPDATE', bad);
  // Every server says yes (nats-protocol, fact 1).
  expect(answers.map((answer) => JSON.parse(answer).data.code)).toEqual([200, 200, 200]);
  expect(await ground.stored(account.public_key)).toEqual(thrice(bad));

  const report = await syncCluster(ground.ctx, ground.clusterId);
  expect(report).toMatchObject({ drifted: 1, failed: 0 });
  const [repaired] = await ground.stored(account.public_key);
  const { jwt, jwt_iat } = await ground.ctx.db
    .selectFrom('account')
    .select(['jwt', 'jwt_iat'])
    .where('id', '=', account.id)
    .executeTakeFirstOrThrow();
  expect(Number(jwt_iat)).toBeGreaterThan(iat);
  expect(repaired).toBe(jwt);
  expect(await ground.stored(account.public_key)).toEqual(thrice(jwt));
  const told = (await ground.events('natsid.cluster.drifted')).filter(
    ({ account_key }) => account_key === account.public_key,
  );
  expect(told).toHaveLength(1);
  expect(told[0]).toMatchObject({
    servers: ['s0', 's1', 's2'],
    cause: expect.stringContaining(stranger.publicKey),
  });
});

it('an older JWT of our own pushed by hand is reported, and the newer one put back', async () => {
  const account = await ground.addAccount();
  await ground.proven(account.id);
  const changed = await ground.change(account.id, 'newer');
  await ground.proven(account.id);
  await ground.ask('$SYS.REQ.CLAIMS.UPDATE', account.jwt);
  expect(await syncCluster(ground.ctx, ground.clusterId)).toMatchObject({ drifted: 1, failed: 0 });
  expect(await ground.stored(account.public_key)).toEqual(thrice(changed.jwt));
});

it('an account that nobody here owns is shown and told once, and never touched', async () => {
  const theirs = createNkey('account');
  const jwt = encodeJwt(
    { sub: theirs.publicKey, name: 'another team', iat: nowSeconds() },
    { type: 'account', limits: { conn: -1, subs: -1, data: -1, payload: -1 } },
    await ground.operatorKey(),
  );
  await ground.ask('$SYS.REQ.CLAIMS.UPDATE', jwt);
  for (let look = 0; look < 2; look += 1)
    expect(await syncCluster(ground.ctx, ground.clusterId)).toMatchObject({ foreign: 1, drifted: 0 });
  expect(await ground.stored(theirs.publicKey)).toEqual(thrice(jwt));
  expect(await ground.events('natsid.cluster.foreign_account')).toMatchObject([
    { account_key: theirs.publicKey, issuer: (await ground.operatorKey()).publicKey },
  ]);
  const shown = await ground.ctx.db.selectFrom('foreign_account').selectAll().execute();
  expect(shown).toMatchObject([{ public_key: theirs.publicKey, name: 'another team' }]);
  expect(shown[0]?.servers.toSorted()).toEqual(['s0', 's1', 's2']);
});

it('an expired account is refused with its remedy: servers would store it, say 200 and not apply it', async () => {
  const account = await ground.addAccount();
  await ground.proven(account.id);
  await ground.platform.database.query(
    `update natsid.account set expires_at = now() - interval '1 hour' where id = $1`,
    [account.id],
  );
  await ground.change(account.id, 'expired');
  await eventually(async () => {
    expect(await ground.syncRow(account.id)).toMatchObject({
      state: 'refused',
      error: expect.stringContaining('has expired'),
    });
  });
  expect(await ground.stored(account.public_key)).toEqual(thrice(account.jwt));
  const told = await ground.events('natsid.sync.failed');
  expect(told.filter(({ account_id }) => account_id === account.id)).toHaveLength(1);
});

it('the diff names what differs per server, and changes nothing', async () => {
  const [cluster] = await ground.ctx.db.selectFrom('cluster').selectAll().execute();
  const account = await ground.addAccount();
  await ground.proven(account.id);
  const stranger = createNkey('operator');
  const bad = encodeJwt(
    { sub: account.public_key, name: 'x', iat: nowSeconds() + 10 },
    { ...account.claims, type: 'account' },
    stranger,
  );
  await ground.ask('$SYS.REQ.CLAIMS.UPDATE', bad);
  if (cluster === undefined) throw new Error('no cluster');
  const diff = await diffCluster(ground.ctx, cluster);
  expect(diff).toMatchObject({ in_sync: false, resolver: 'full', unreachable: [], untrusted: [] });
  expect(diff.different).toContainEqual(
    expect.objectContaining({
      account_id: account.id,
      issuer: stranger.publicKey,
      servers: ['s0', 's1', 's2'],
    }),
  );
  expect(await ground.stored(account.public_key)).toEqual(thrice(bad));
  await syncCluster(ground.ctx, ground.clusterId);
  const after = await diffCluster(ground.ctx, cluster);
  expect(after.different.map(({ account_id }) => account_id)).not.toContain(account.id);
});

it('a change made while thousands of accounts go to the servers overtakes them', async () => {
  const account = await ground.addAccount();
  await ground.proven(account.id);
  await ground.addAccounts(3_000);
  await ground.change(account.id, 'in between');
  await ground.proven(account.id, 30_000);
  const pending = async () =>
    Number(
      (
        await ground.platform.database.query<{ count: number }>(
          'select count(*)::int as count from natsid.account_sync where proven < wanted',
        )
      )[0]?.count,
    );
  // It did overtake them. The expired one is never proven.
  expect(await pending()).toBeGreaterThan(1);
  await eventually(async () => (await pending()) === 1, 60_000);
}, 90_000);
