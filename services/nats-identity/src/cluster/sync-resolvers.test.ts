import { eventually } from '@gatehouse/kit/testing';
import { jwtHash } from '@gatehouse/nats-claims';
import { afterEach, expect, it } from 'vitest';
import { syncCluster } from './sync-cluster.ts';
import { type SyncGround, startSyncGround } from './sync-testing.ts';

let ground: SyncGround | undefined;
afterEach(async () => {
  await ground?.close();
  ground = undefined;
});

it.each([
  { kind: 'memory', resolver: () => 'resolver: MEMORY', remedy: /resolver_preload/ },
  {
    kind: 'cache',
    resolver: (home: string) => `resolver { type: cache, dir: ${JSON.stringify(`${home}/jwt`)}, ttl: "1h" }`,
    remedy: /only cache/,
  },
])(
  'servers with a $kind resolver: the truth is told, although they answer 200',
  async ({ kind, resolver, remedy }) => {
    ground = await startSyncGround({ servers: 2, resolver });
    const { ctx, clusterId, operator, syncRow, events } = ground;
    const account = await ground.addAccount();
    await eventually(async () => {
      expect(await syncRow(account.id)).toMatchObject({
        state: 'refused',
        error: expect.stringMatching(remedy),
        servers: {
          s0: { stored: null, enforced: 'not_loaded' },
          s1: { stored: null, enforced: 'not_loaded' },
        },
      });
    });
    expect(await ctx.db.selectFrom('cluster').select('resolver').executeTakeFirst()).toEqual({
      resolver: kind,
    });
    expect(
      (await events('natsid.sync.failed')).filter(({ account_id }) => account_id === account.id),
    ).toHaveLength(1);
    // The system account is loaded: what changes in it is enforced now, and gone with the next start.
    const system = await ground.change(operator.system_account_id ?? '', 'changed');
    const hash = jwtHash(system.jwt).toString('hex');
    await eventually(async () => {
      expect(await syncRow(system.id)).toMatchObject({
        state: 'refused',
        error: expect.stringContaining('2 of 2 servers enforce it, until they start anew'),
        servers: { s0: { stored: null, enforced: hash }, s1: { stored: null, enforced: hash } },
      });
    });
    const report = await syncCluster(ctx, clusterId);
    expect(report).toMatchObject({ accounts: 2, proven: 0, failed: 2, drifted: 0, foreign: 0 });
  },
  30_000,
);
