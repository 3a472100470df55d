import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { eventually } from '@gatehouse/kit/testing';
import { jetstreamManager } from '@nats-io/jetstream';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { reissueAccount } from '../account-jwt.ts';
import { type SyncGround, startSyncGround } from '../cluster/sync-testing.ts';

let ground: SyncGround;
const children: ChildProcess[] = [];
beforeAll(async () => {
  ground = await startSyncGround();
}, 60_000);
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL');
  await ground?.close();
});

const query = <T extends object>(text: string, values: unknown[] = []) =>
  ground.platform.database.query<T>(text, values);

/** Locks, as DELETE does, but leaves the next step for later. */
const lock = (id: string) =>
  ground.ctx.db.transaction().execute(async (tx) => {
    await tx
      .updateTable('account')
      .set({ state: 'locked', purge_consent: true, state_due_at: sql<Date>`now() + interval '1 hour'` })
      .where('id', '=', id)
      .execute();
    await reissueAccount(tx, ground.ctx, id);
  });

async function addStreams(id: string): Promise<void> {
  await ground.ctx.db.transaction().execute(async (tx) => {
    await sql`
      update account set claims = jsonb_set(claims, '{limits}', (claims -> 'limits') || '{"disk_storage": -1, "mem_storage": -1}')
      where id = ${id}`.execute(tx);
    await reissueAccount(tx, ground.ctx, id);
  });
  await ground.proven(id);
  const nc = await ground.user(id, ground.cluster.urls[0] ?? '');
  await eventually(async () => {
    const jsm = await jetstreamManager(nc);
    for (const name of ['ONE', 'TWO', 'THREE'])
      await jsm.streams.add({ name, subjects: [`${name}.>`], num_replicas: 3 });
  }, 30_000);
  await nc.close();
}

/** Another process of the service; it takes up at once whatever a dead one had claimed. */
async function start(): Promise<ChildProcess> {
  await query(
    `update natsid.account set state_due_at = now() where state in ('locked', 'purging', 'deleting')`,
  );
  const child = spawn(process.execPath, [fileURLToPath(new URL('../main.ts', import.meta.url))], {
    env: { ...process.env, ...ground.platform.env },
    stdio: 'ignore',
  });
  children.push(child);
  return child;
}

async function states(): Promise<Record<string, number>> {
  const rows = await query<{ state: string; count: number }>(
    `select state, count(*)::int from natsid.account where kind = 'account' group by state`,
  );
  return Object.fromEntries(rows.map(({ state, count }) => [state, count]));
}

it('goes on after each kill -9, wherever it stood, and tells each step once', async () => {
  const count = 30;
  const made = await Promise.all(Array.from({ length: count }, () => ground.addAccount()));
  const [first] = made;
  if (first === undefined) throw new Error('no account');
  await addStreams(first.id);
  for (const { id } of made) {
    await lock(id);
    await ground.proven(id, 30_000);
  }
  await ground.platform.stop();
  for (const state of ['purging', 'deleting', 'deleted']) {
    const child = await start();
    await eventually(async () => ((await states())[state] ?? 0) > 0, 30_000);
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  await start();
  await eventually(async () => expect(await states()).toEqual({ deleted: count }), 60_000);
  const told = await query<{ type: string; count: number }>(
    `select type, count(*)::int from natsid.outbox
     where type in ('natsid.account.purged', 'natsid.account.deleted') group by type order by type`,
  );
  expect(told).toEqual([
    { type: 'natsid.account.deleted', count },
    { type: 'natsid.account.purged', count: 1 },
  ]);
  const keys = made.map(({ public_key }) => public_key);
  for (const text of await ground.ask('$SYS.REQ.CLAIMS.LIST'))
    for (const key of JSON.parse(text).data) expect(keys).not.toContain(key);
  for (const text of await ground.ask('$SYS.REQ.SERVER.PING.JSZ', '{"streams":true,"accounts":true}'))
    expect(text).not.toMatch(/"name":"(?:ONE|TWO|THREE)"/);
}, 240_000);
