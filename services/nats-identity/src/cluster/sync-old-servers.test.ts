import { findNatsServer210 } from '@gatehouse/embedded';
import { eventually } from '@gatehouse/kit/testing';
import { createNkey, encodeJwt, jwtHash } from '@gatehouse/nats-claims';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { syncCluster } from './sync-cluster.ts';
import { type SyncGround, startSyncGround } from './sync-testing.ts';

const binary = findNatsServer210();

describe.skipIf(binary === undefined)('nats-server 2.10', () => {
  let ground: SyncGround;
  beforeAll(async () => {
    ground = await startSyncGround({ ...(binary && { binary: binary.path }) });
  }, 60_000);
  afterAll(() => ground?.close());
  const thrice = (jwt: string) => [jwt, jwt, jwt];

  it('a push is counted, stored and enforced by proof', async () => {
    const servers = await ground.ask('$SYS.REQ.SERVER.PING');
    expect(servers.map((answer) => JSON.parse(answer).server.ver.slice(0, 5))).toEqual(thrice('2.10.'));
    const account = await ground.addAccount();
    await ground.proven(account.id);
    await ground.user(account.id, ground.cluster.servers[1]?.url ?? '');
    const changed = await ground.change(account.id, 'enforced');
    const row = await ground.proven(account.id);
    const hash = jwtHash(changed.jwt).toString('hex');
    expect(row.servers).toMatchObject({
      s0: { stored: hash, enforced: 'not_loaded' },
      s1: { stored: hash, enforced: hash },
    });
    expect(await ground.stored(account.public_key)).toEqual(thrice(changed.jwt));
  });

  it('what a stranger signed is put back', async () => {
    const account = await ground.addAccount();
    await ground.proven(account.id);
    const bad = encodeJwt(
      { sub: account.public_key, name: 'x', iat: Number(account.jwt_iat) + 50 },
      { ...account.claims, type: 'account' },
      createNkey('operator'),
    );
    await ground.ask('$SYS.REQ.CLAIMS.UPDATE', bad);
    expect(await syncCluster(ground.ctx, ground.clusterId)).toMatchObject({ drifted: 1, failed: 0 });
    const [stored] = await ground.stored(account.public_key);
    expect(stored).not.toBe(bad);
    expect(await ground.stored(account.public_key)).toEqual(thrice(stored ?? ''));
  });

  it('a server that was away comes back to it', async () => {
    const account = await ground.addAccount();
    await ground.proven(account.id);
    await ground.cluster.servers[2]?.stop();
    const changed = await ground.change(account.id, 'meanwhile');
    await eventually(async () => {
      expect(await ground.syncRow(account.id)).toMatchObject({ state: 'unreachable' });
    }, 20_000);
    await ground.cluster.servers[2]?.start();
    await ground.proven(account.id, 20_000);
    expect(await ground.stored(account.public_key)).toEqual(thrice(changed.jwt));
  }, 60_000);
});
