import { eventually } from '@gatehouse/kit/testing';
import { jetstreamManager } from '@nats-io/jetstream';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { reissueAccount } from '../account-jwt.ts';
import { syncCluster } from '../cluster/sync-cluster.ts';
import { type SyncGround, startSyncGround } from '../cluster/sync-testing.ts';
import { hasStreams } from './account-streams.ts';
import { closeOld } from './tombstones.ts';

let ground: SyncGround;
beforeAll(async () => {
  ground = await startSyncGround({ env: { NATS_HEALTH_INTERVAL_SECONDS: '1' } });
}, 60_000);
afterAll(() => ground?.close());

/** What DELETE does. */
const lock = (id: string, purge_consent = false) =>
  ground.ctx.db.transaction().execute(async (tx) => {
    await tx
      .updateTable('account')
      .set({ state: 'locked', purge_consent, state_at: sql<Date>`now()`, state_due_at: sql<Date>`now()` })
      .where('id', '=', id)
      .execute();
    await reissueAccount(tx, ground.ctx, id);
  });

const account = (id: string) =>
  ground.ctx.db.selectFrom('account').selectAll().where('id', '=', id).executeTakeFirst();

const inState = (id: string, state: string, deadlineMs = 30_000) =>
  eventually(async () => {
    const found = await account(id);
    if (found?.state !== state) throw new Error(`${found?.state}: ${found?.state_detail}`);
    return found;
  }, deadlineMs);

/** Names of servers that store the account, by their own lists. */
async function storing(publicKey: string): Promise<string[]> {
  const answers = await ground.ask('$SYS.REQ.CLAIMS.LIST');
  return answers
    .map((text) => JSON.parse(text))
    .filter(({ data }) => data.includes(publicKey))
    .map(({ server }) => server.name)
    .sort();
}

async function addWithStream(name: string) {
  const made = await ground.addAccount(name);
  await ground.ctx.db.transaction().execute(async (tx) => {
    const claims = {
      ...made.claims,
      limits: { ...(made.claims.limits as object), disk_storage: -1, mem_storage: -1 },
    };
    await tx.updateTable('account').set({ claims }).where('id', '=', made.id).execute();
    await reissueAccount(tx, ground.ctx, made.id);
  });
  await ground.proven(made.id);
  const server = ground.cluster.servers[0];
  const nc = await ground.user(made.id, server?.url ?? '');
  await eventually(async () => {
    const jsm = await jetstreamManager(nc);
    await jsm.streams.add({ name: 'ORDERS', subjects: ['orders.>'], num_replicas: 3 });
  }, 30_000);
  await nc.request('orders.new', 'x').catch(() => {});
  return made;
}

const eventsOf = async (type: string, publicKey: string) =>
  (await ground.events(type)).filter(({ public_key }) => public_key === publicKey);

describe('the deletion of an account', () => {
  it('takes it from every server, and only then says so', async () => {
    const { id, public_key } = await ground.addAccount();
    await ground.proven(id);
    expect(await storing(public_key)).toEqual(['s0', 's1', 's2']);
    await lock(id);
    const gone = await inState(id, 'deleted');
    expect(await storing(public_key)).toEqual([]);
    expect(gone).toMatchObject({ state_detail: null });
    // The seed stays sealed while the tombstone is open.
    expect(gone.secret_id).not.toBeNull();
    expect(await eventsOf('natsid.account.deleted', public_key)).toHaveLength(1);
    expect(await eventsOf('natsid.account.purged', public_key)).toHaveLength(0);
  });

  it('stays locked while it has streams and nobody consents, then purges them first', async () => {
    const { id, public_key, operator_id } = await addWithStream('with-streams');
    await eventually(async () => {
      expect(await hasStreams(ground.ctx, { operator_id, public_key })).toEqual({
        streams: 1,
        certain: true,
      });
    });
    await lock(id);
    await eventually(async () => {
      expect(await account(id)).toMatchObject({
        state: 'locked',
        state_detail: expect.stringMatching(/still has 1 stream/),
      });
    }, 30_000);
    expect(await storing(public_key)).toEqual(['s0', 's1', 's2']);
    await ground.ctx.db
      .updateTable('account')
      .set({ purge_consent: true, state_due_at: sql<Date>`now()` })
      .where('id', '=', id)
      .execute();
    await inState(id, 'deleted', 60_000);
    expect(await storing(public_key)).toEqual([]);
    expect(await eventsOf('natsid.account.purged', public_key)).toHaveLength(1);
    expect(await eventsOf('natsid.account.deleted', public_key)).toHaveLength(1);
    // No orphan: servers are sound, and none of them knows a stream of it.
    for (const text of await ground.ask(
      '$SYS.REQ.SERVER.PING.JSZ',
      JSON.stringify({ streams: true, accounts: true }),
    ))
      expect(text).not.toContain('ORDERS');
  }, 120_000);

  it('waits for a server that is down, and says which', async () => {
    const { id, public_key } = await ground.addAccount();
    await ground.proven(id);
    const away = ground.cluster.servers[1];
    await away?.kill();
    await lock(id);
    await eventually(async () => {
      expect(await account(id)).toMatchObject({
        state: 'locked',
        state_detail: expect.stringContaining('s1'),
      });
    }, 30_000);
    expect(await storing(public_key)).toEqual(['s0', 's2']);
    await away?.start();
    await inState(id, 'deleted', 60_000);
    expect(await storing(public_key)).toEqual([]);
  }, 120_000);

  it('kills what a server brings back that nobody knew of', async () => {
    const { id, public_key } = await ground.addAccount();
    await ground.proven(id);
    const away = ground.cluster.servers[2];
    await away?.kill();
    await eventually(async () => {
      const { state } = await ground.ctx.db
        .selectFrom('cluster_server')
        .select('state')
        .where('server_name', '=', 's2')
        .executeTakeFirstOrThrow();
      return state === 'unreachable';
    }, 30_000);
    // As if somebody had said that it never comes back.
    const forget = () => ground.ctx.db.deleteFrom('cluster_server').where('server_name', '=', 's2').execute();
    await forget();
    await lock(id);
    await inState(id, 'deleted', 60_000);
    expect(await storing(public_key)).toEqual([]);
    await away?.start();
    await eventually(
      async () => expect(await eventsOf('natsid.account.returned', public_key)).not.toEqual([]),
      60_000,
    );
    expect(await eventsOf('natsid.account.returned', public_key)).toMatchObject([{ servers: ['s2'] }]);
    await eventually(async () => expect(await storing(public_key)).toEqual([]), 30_000);
  }, 150_000);

  it('deletes an account that somebody pushes again by hand', async () => {
    const { id, public_key } = await ground.addAccount();
    await ground.proven(id);
    const { jwt } = (await account(id)) ?? { jwt: '' };
    await lock(id);
    await inState(id, 'deleted');
    await ground.ask('$SYS.REQ.CLAIMS.UPDATE', jwt);
    expect(await storing(public_key)).toEqual(['s0', 's1', 's2']);
    // A full look finds it, as it does by itself every few minutes; so would the next search for tombstones.
    await syncCluster(ground.ctx, ground.clusterId);
    await eventually(async () => expect(await storing(public_key)).toEqual([]));
    await eventually(async () =>
      expect(await eventsOf('natsid.account.returned', public_key)).toMatchObject([
        { servers: expect.arrayContaining(['s0', 's1', 's2']) },
      ]),
    );
  }, 90_000);

  it('ends an account that has expired: its lock-out has no end', async () => {
    const { id, public_key } = await ground.addAccount();
    await ground.ctx.db.transaction().execute(async (tx) => {
      await sql`update account set expires_at = now() + interval '3 seconds' where id = ${id}`.execute(tx);
      await reissueAccount(tx, ground.ctx, id);
    });
    await ground.proven(id);
    await eventually(async () => {
      const { expires_at } = (await account(id)) ?? {};
      return expires_at instanceof Date && expires_at.getTime() < Date.now();
    });
    await lock(id);
    await inState(id, 'deleted');
    expect(await storing(public_key)).toEqual([]);
  }, 60_000);

  it('ends with the row and every seed, when the tombstone is old enough', async () => {
    const { id, secret_id } = await ground.addAccount();
    await ground.proven(id);
    await lock(id);
    await inState(id, 'deleted');
    const { db } = ground.ctx;
    const close = () => db.transaction().execute((tx) => closeOld(tx, 90));
    await close();
    expect(await account(id)).toBeDefined();
    await ground.platform.database.query(
      `update natsid.account set state_at = now() - interval '91 days' where id = $1`,
      [id],
    );
    await close();
    expect(await account(id)).toBeUndefined();
    const left = await db.selectFrom('secret').select('id').where('id', '=', secret_id).execute();
    expect(left).toEqual([]);
  });

  it('is done once when two instances see to it, and goes on when one of them is gone', async () => {
    const other = await ground.second();
    const made = await Promise.all(Array.from({ length: 12 }, () => ground.addAccount()));
    for (const { id } of made) await ground.proven(id);
    await Promise.all(made.map(({ id }) => lock(id)));
    await Promise.all(made.map(({ id }) => inState(id, 'deleted', 60_000)));
    for (const { public_key } of made)
      expect(await eventsOf('natsid.account.deleted', public_key)).toHaveLength(1);
    // A claim whose holder died is taken up after its time.
    const { id } = await ground.addAccount();
    await ground.proven(id);
    await lock(id);
    await ground.platform.database.query(
      `update natsid.account set state = 'deleting', state_due_at = now() + interval '2 seconds' where id = $1`,
      [id],
    );
    await inState(id, 'deleted', 30_000);
    await other.stop();
  }, 120_000);
});
