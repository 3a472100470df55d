import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { newId } from '@gatehouse/kit';
import { eventually } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { takeLease } from './lease.ts';
import { type SyncGround, startSyncGround } from './sync-testing.ts';

let ground: SyncGround;
beforeAll(async () => {
  ground = await startSyncGround({ servers: 1 });
}, 60_000);
afterAll(() => ground?.close());

const holder = async () =>
  (
    await ground.ctx.db
      .selectFrom('cluster')
      .select('lease_holder')
      .where('id', '=', ground.clusterId)
      .executeTakeFirst()
  )?.lease_holder;

it('one process at a time has the lease; who did not renew it loses it by time, and knows', async () => {
  const { ctx, clusterId } = ground;
  await ctx.reconciler.stop();
  const [one, two] = [newId(), newId()];
  const first = await takeLease(ctx, clusterId, one);
  expect(first?.held()).toBe(true);
  expect(await takeLease(ctx, clusterId, two)).toBeUndefined();
  await ctx.db
    .updateTable('cluster')
    .set({ lease_until: new Date(Date.now() - 1_000) })
    .where('id', '=', clusterId)
    .execute();
  const second = await takeLease(ctx, clusterId, two);
  expect(second?.held()).toBe(true);
  // It asks the database before its own time is over.
  await eventually(async () => expect(await first?.renew()).toBe(false));
  expect(first?.held()).toBe(false);
  // Letting go of what it does not have takes it from nobody.
  await first?.release();
  expect(await holder()).toBe(two);
  await second?.release();
  expect(await holder()).toBeNull();
  ctx.reconciler.start();
});

it('a lease that was not renewed is over by the holder’s own clock before anybody else can have it', async () => {
  const { ctx, clusterId } = ground;
  await ctx.reconciler.stop();
  const lease = await takeLease(ctx, clusterId, newId());
  const [left] = await ground.platform.database.query<{ seconds: number }>(
    'select extract(epoch from lease_until - now())::float8 as seconds from natsid.cluster where id = $1',
    [clusterId],
  );
  const begun = performance.now();
  await eventually(() => lease?.held() === false, 10_000);
  expect(performance.now() - begun).toBeLessThan((left?.seconds ?? 0) * 1_000 - 1_000);
  await lease?.release();
  ctx.reconciler.start();
}, 20_000);

it('a process that is killed while it writes to a cluster is replaced, and nothing is lost', async () => {
  const { ctx, platform } = ground;
  const child = spawn(process.execPath, [fileURLToPath(new URL('../main.ts', import.meta.url))], {
    env: { ...process.env, ...platform.env },
    stdio: 'ignore',
  });
  await ctx.reconciler.stop();
  await eventually(async () => expect(await holder()).toEqual(expect.any(String)), 40_000);
  const childHolder = await holder();
  await ground.addAccounts(400);
  await eventually(async () => (await unproven()) < 390, 20_000);
  child.kill('SIGKILL');
  await once(child, 'exit');
  ctx.reconciler.start();
  const account = await ground.addAccount();
  // It has not let go: nobody writes before its time is over.
  expect(await holder()).toBe(childHolder);
  await ground.proven(account.id, 20_000);
  expect(await holder()).not.toBe(childHolder);
  await eventually(async () => (await unproven()) === 0, 20_000);
}, 90_000);

const unproven = async () =>
  Number(
    (
      await ground.platform.database.query<{ count: number }>(
        'select count(*)::int as count from natsid.account_sync where proven < wanted',
      )
    )[0]?.count,
  );
