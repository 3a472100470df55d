import { newId } from '@gatehouse/kit';
import { eventually } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { reissueOperator } from '../operator/operator-jwt.ts';
import { makeKey } from '../secret.ts';
import { healthOf } from './cluster-view.ts';
import { clustersComponent } from './clusters-component.ts';
import { type SyncGround, startSyncGround } from './sync-testing.ts';

let ground: SyncGround;
beforeAll(async () => {
  ground = await startSyncGround({ env: { NATS_HEALTH_INTERVAL_SECONDS: '1' } });
  await ground.second({ NATS_HEALTH_INTERVAL_SECONDS: '1' });
}, 60_000);
afterAll(() => ground?.close());

const cluster = () =>
  ground.ctx.db
    .selectFrom('cluster')
    .selectAll()
    .where('id', '=', ground.clusterId)
    .executeTakeFirstOrThrow();

/** Waits until the last look found exactly these causes, each a pattern. */
const causes = (...patterns: RegExp[]) =>
  eventually(async () => {
    const found = await cluster();
    const health = healthOf(found);
    expect(health.causes).toEqual(patterns.map((pattern) => expect.stringMatching(pattern)));
    expect(found.healthy).toBe(patterns.length === 0);
    return health;
  }, 60_000);

const metric = async (name: string) => {
  const found = (await ground.ctx.metrics.registry.getMetricsAsJSON()).find((one) => one.name === name);
  return found?.values[0]?.value;
};

const keyState = async (key: string) =>
  (
    await ground.ctx.db
      .selectFrom('operator_key')
      .select('state')
      .where('public_key', '=', key)
      .executeTakeFirstOrThrow()
  ).state;

describe('the health of a cluster', () => {
  it('is well, and says so in the report and the metrics', async () => {
    const { servers_known, servers_answering, warnings } = await causes();
    expect({ servers_known, servers_answering, warnings }).toEqual({
      servers_known: 3,
      servers_answering: 3,
      warnings: [],
    });
    expect(await clustersComponent(ground.ctx)).toMatchObject({
      name: 'nats_clusters',
      status: 'healthy',
      details: { total: 1, healthy: 1 },
    });
    const { id } = await ground.addAccount();
    await ground.proven(id);
    await eventually(async () => {
      expect(await metric('nis_clusters_total')).toBe(1);
      expect(await metric('nis_clusters_healthy')).toBe(1);
      expect(await metric('nis_operators_total')).toBe(1);
      expect(await metric('nis_accounts_total')).toBe(2);
      expect(await metric('nis_db_connections_max')).toBe(4);
      expect(await metric('nis_db_connections_open')).toBeGreaterThan(0);
      const text = await ground.ctx.metrics.registry.metrics();
      expect(text).toContain('nis_cluster_accounts{state="in_sync"} 2');
    }, 20_000);
    expect(await ground.ctx.metrics.registry.metrics()).toMatch(
      /nis_db_query_duration_seconds_count\{operation="select"\} [1-9]/,
    );
  });

  it('names the server that is away, once in an event, and the recovery once', async () => {
    const away = ground.cluster.servers[1];
    await away?.kill();
    await causes(/^server s1 of 3 does not answer/);
    expect(await clustersComponent(ground.ctx)).toMatchObject({
      status: 'degraded',
      details: { healthy: 0 },
    });
    await eventually(async () => expect(await metric('nis_clusters_healthy')).toBe(0));
    const before = (await cluster()).checked_at;
    await eventually(async () => (await cluster()).checked_at?.getTime() !== before?.getTime());
    // Many looks, one event: what is told is the change. JetStream may look for a new leader meanwhile and say so too.
    const [told, ...more] = await ground.events('natsid.cluster.unhealthy');
    expect(told).toMatchObject({ cluster: 'C' });
    const [first, ...others] = (told as { causes: string[] }).causes;
    expect(first).toMatch(/^server s1 of 3 does not answer/);
    for (const cause of others) expect(cause).toContain('JetStream is not current with the meta leader');
    expect(more).toEqual([]);
    await away?.start();
    await causes();
    expect(await ground.events('natsid.cluster.recovered')).toMatchObject([{ cluster: 'C' }]);
    expect(await ground.events('natsid.cluster.unhealthy')).toHaveLength(1);
  }, 180_000);

  it('lets a new operator key sign only when every server was started with it', async () => {
    const { ctx, operator } = ground;
    const { key, jwt } = await ctx.db.transaction().execute(async (tx) => {
      const made = await makeKey(tx, ctx, 'operator_signing', 'operator');
      const { publicKey } = made.key;
      await tx
        .insertInto('operator_key')
        .values({
          id: newId(),
          operator_id: operator.id,
          public_key: publicKey,
          secret_id: made.secretId,
          state: 'pending',
        })
        .execute();
      return { key: publicKey, jwt: (await reissueOperator(tx, ctx, operator.id)).jwt };
    });
    const lacks = (name: string) => new RegExp(`^${name} trusts an older operator JWT, .*${key}.*restart it`);
    await causes(lacks('s0'), lacks('s1'), lacks('s2'));
    const signedMeanwhile = await ground.addAccount();
    expect(signedMeanwhile.issuer_key).not.toBe(key);
    for (const [index, server] of ground.cluster.servers.entries()) {
      expect(await keyState(key)).toBe('pending');
      await server.stop();
      // One that is away could be as it was: it keeps the gate shut.
      if (index === 2) {
        await causes(/^server s2 of 3 does not answer/);
        expect(await keyState(key)).toBe('pending');
      }
      await server.start({ operatorJwt: jwt });
      await causes(...[0, 1, 2].filter((left) => left > index).map((left) => lacks(`s${left}`)));
    }
    await eventually(async () => (await keyState(key)) === 'active');
    expect(await ground.events('natsid.operator.key_activated')).toMatchObject([{ key }]);
    const signed = await ground.addAccount();
    expect(signed.issuer_key).toBe(key);
    await ground.proven(signed.id, 30_000);
  }, 300_000);

  it('says why nobody is let in, while other clusters are looked at in time', async () => {
    const { ctx, operator } = ground;
    const dead = newId();
    // A server of nobody: the connection is taken and never answered.
    const { createServer } = await import('node:net');
    const silent = createServer(() => {}).listen(0, '127.0.0.1');
    await eventually(() => silent.listening);
    const { port } = silent.address() as { port: number };
    await ctx.db
      .insertInto('cluster')
      .values({ id: dead, operator_id: operator.id, name: 'dead', servers: [`nats://127.0.0.1:${port}`] })
      .execute();
    await eventually(async () => {
      const found = await ctx.db
        .selectFrom('cluster')
        .selectAll()
        .where('id', '=', dead)
        .executeTakeFirstOrThrow();
      expect(healthOf(found).causes[0]).toMatch(/^no server lets us in: /);
    }, 30_000);
    const { checked_at } = await cluster();
    // The other one is looked at again while the dead one is waited for.
    await eventually(async () => (await cluster()).checked_at?.getTime() !== checked_at?.getTime(), 15_000);
    expect(await ground.events('natsid.cluster.unhealthy')).toContainEqual(
      expect.objectContaining({ cluster: 'dead' }),
    );
    await ctx.db.deleteFrom('cluster').where('id', '=', dead).execute();
    silent.close();
  }, 60_000);
});
