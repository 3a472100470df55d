import { auth } from '@gatehouse/auth';
import { newId } from '@gatehouse/kit';
import { eventually } from '@gatehouse/kit/testing';
import { token } from '@gatehouse/token';
import type { NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type SyncGround, startSyncGround } from '../cluster/sync-testing.ts';

// NATS accounts go with their tenant, on real servers, with the real auth beside.
let ground: SyncGround;
beforeAll(async () => {
  ground = await startSyncGround({ beside: [auth, token] });
}, 60_000);
afterAll(() => ground?.close());

const query = <T extends object>(text: string, values: unknown[] = []) =>
  ground.platform.database.query<T>(text, values);

async function newTenant(): Promise<string> {
  const id = newId();
  await query(`insert into auth.tenant (id, name, synced_version) values ($1, 'shop', 1)`, [id]);
  return id;
}

async function accountOf(tenantId: string): Promise<string> {
  const { id } = await ground.addAccount();
  await query('update natsid.account set tenant_id = $2 where id = $1', [id, tenantId]);
  await ground.proven(id);
  return id;
}

const setStatus = (tenantId: string, status: string) =>
  query('update auth.tenant set status = $2 where id = $1', [tenantId, status]);

/** As the job of auth does it at the end. */
const deleteTenant = async (tenantId: string) => {
  await query('insert into auth.retired_id (id) values ($1)', [tenantId]);
  await query('delete from auth.tenant where id = $1', [tenantId]);
};

interface State {
  readonly state: string;
  readonly held: boolean;
  readonly state_detail: string | null;
}
const stateOf = async (id: string): Promise<State | undefined> =>
  (await query<State>('select state, held, state_detail from natsid.account where id = $1', [id]))[0];
const becomes = (id: string, state: Partial<State>) =>
  eventually(async () => expect(await stateOf(id)).toMatchObject(state), 30_000);
const told = async (type: string, id: string) =>
  (await ground.events(type)).filter((data) => data.id === id).map(({ reason }) => reason);

/** Waits until a server closes the connection. */
async function ends(nc: NatsConnection): Promise<void> {
  for await (const { type } of nc.status()) if (type === 'disconnect') return;
}

/** Connects, or says that the server does not let it. */
const connects = (id: string): Promise<boolean> =>
  ground.user(id, ground.cluster.urls[0] ?? '', { once: true }).then(
    async (nc) => {
      await nc.close();
      return true;
    },
    () => false,
  );

describe('NATS accounts of a tenant', () => {
  it('let nobody in while it is disabled, close who is connected, and open again with it', async () => {
    const tenantId = await newTenant();
    const id = await accountOf(tenantId);
    const nc = await ground.user(id, ground.cluster.urls[0] ?? '');
    const gone = ends(nc);
    await setStatus(tenantId, 'disabled');
    await becomes(id, { state: 'locked', held: true, state_detail: 'its tenant is disabled' });
    const lockedAt = Math.floor(Date.now() / 1000);
    await gone;
    await ground.proven(id, 30_000);
    // Whatever was issued before is revoked; what is issued now finds no place.
    expect(await connects(id)).toBe(false);
    await eventually(() => Math.floor(Date.now() / 1000) > lockedAt + 1);
    expect(await connects(id)).toBe(false);
    await setStatus(tenantId, 'active');
    await becomes(id, { state: 'active', held: false, state_detail: null });
    await ground.proven(id, 30_000);
    await eventually(async () => expect(await connects(id)).toBe(true), 30_000);
    expect(await told('natsid.account.locked', id)).toEqual(['its tenant is disabled']);
    expect(await told('natsid.account.restored', id)).toEqual(['its tenant is enabled']);
  }, 90_000);

  it('are not on their way to be deleted while it is disabled, and are deleted everywhere once it is', async () => {
    const tenantId = await newTenant();
    const id = await accountOf(tenantId);
    const later = await newTenant();
    const other = await accountOf(later);
    await setStatus(tenantId, 'disabled');
    await becomes(id, { state: 'locked', held: true });
    // One that was deleted afterwards is gone: so the job of deletions came by, and left the other alone.
    await deleteTenant(later);
    await becomes(other, { state: 'deleted' });
    expect(await stateOf(id)).toMatchObject({ state: 'locked', held: true });
    await deleteTenant(tenantId);
    await becomes(id, { state: 'deleted', held: false });
    const [row] = await query<{ public_key: string }>('select public_key from natsid.account where id = $1', [
      id,
    ]);
    expect((await ground.stored(row?.public_key ?? '')).filter((jwt) => jwt !== '')).toEqual([]);
    expect(await told('natsid.account.locked', id)).toEqual([
      'its tenant is disabled',
      'its tenant was deleted',
    ]);
  }, 90_000);

  it('whose deletion waits for a consent get it with the deletion of the tenant', async () => {
    const tenantId = await newTenant();
    const id = await accountOf(tenantId);
    await query(
      `update natsid.account set state = 'locked', state_due_at = now() + interval '1 hour' where id = $1`,
      [id],
    );
    await deleteTenant(tenantId);
    await eventually(async () => {
      const [row] = await query<{ purge_consent: boolean }>(
        'select purge_consent from natsid.account where id = $1',
        [id],
      );
      expect(row).toEqual({ purge_consent: true });
    }, 30_000);
  }, 60_000);

  it('of a tenant that nobody made, and the platform’s own, are left alone', async () => {
    const orphan = await accountOf(newId());
    const own = (await ground.addAccount()).id;
    const sentinel = await newTenant();
    const sign = await accountOf(sentinel);
    await setStatus(sentinel, 'disabled');
    await becomes(sign, { held: true });
    for (const id of [orphan, own]) expect(await stateOf(id)).toMatchObject({ state: 'active', held: false });
  }, 60_000);
});
