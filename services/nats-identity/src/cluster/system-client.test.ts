import { eventually } from '@gatehouse/kit/testing';
import { createNkey, encodeJwt, formatCreds, parseCreds } from '@gatehouse/nats-claims';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { accountSigner } from '../account/signer.ts';
import { keepSecret } from '../secret.ts';
import { type SyncGround, startSyncGround } from './sync-testing.ts';
import {
  ClusterUnreachable,
  NotPermitted,
  openSystemClient,
  PayloadTooLarge,
  type SystemClient,
} from './system-client.ts';

let ground: SyncGround;
const opened: SystemClient[] = [];
const open = async (
  ...[purpose]: Parameters<typeof openSystemClient> extends [unknown, unknown, ...infer R] ? R : never
) => {
  const client = await openSystemClient(ground.ctx, ground.clusterId, purpose);
  opened.push(client);
  return client;
};
beforeAll(async () => {
  ground = await startSyncGround();
}, 60_000);
afterAll(async () => {
  for (const client of opened) await client.close();
  await ground?.close();
});

it('collects the answer of every server, and says when one is missing', async () => {
  const client = await open();
  const servers = await client.servers();
  expect(servers.map(({ name }) => name).sort()).toEqual(['s0', 's1', 's2']);
  const all = await client.requestAll('$SYS.REQ.CLAIMS.LIST', '', { expect: 3 });
  expect(all.complete).toBe(true);
  expect(new Set(all.replies.map(({ server }) => server?.name)).size).toBe(3);
  const late = await client.requestAll('$SYS.REQ.CLAIMS.LIST', '', { expect: 4, timeoutMs: 300 });
  expect(late).toMatchObject({ complete: false, noResponders: false });
  expect(late.replies).toHaveLength(3);
});

it('an error in the JSON of an answer is an error, although it is an answer', async () => {
  const client = await open();
  const { replies } = await client.requestAll('$SYS.REQ.CLAIMS.UPDATE', 'not a jwt', { expect: 3 });
  expect(replies).toHaveLength(3);
  for (const { error } of replies) expect(error).toEqual(expect.any(String));
});

it('what is larger than servers take is refused before it is sent', async () => {
  const client = await open();
  await expect(
    client.requestAll('$SYS.REQ.CLAIMS.UPDATE', 'x'.repeat(client.maxPayload + 1)),
  ).rejects.toBeInstanceOf(PayloadTooLarge);
});

it('whoever pushes cannot watch, whoever watches cannot push, and neither reaches a stream (hard case 16)', async () => {
  const pusher = await open('push');
  const watcher = await open('watch');
  const begun = performance.now();
  for (const [client, subject] of [
    [watcher, '$SYS.REQ.CLAIMS.UPDATE'],
    [watcher, '$SYS.REQ.CLAIMS.DELETE'],
    [pusher, '$JS.API.ACCOUNT.PURGE.A'],
    [pusher, '$JS.API.STREAM.LIST'],
    [pusher, '$SYS.REQ.SERVER.X.RELOAD'],
  ] as const)
    await expect(client.requestAll(subject, '', { expect: 3 })).rejects.toBeInstanceOf(NotPermitted);
  // Told at once, not after the time for answers.
  expect(performance.now() - begun).toBeLessThan(1_500);
  const heard: string[] = [];
  const refused = new Promise<Error | null>((resolve) => {
    pusher.nc.subscribe('$SYS.ACCOUNT.*.CONNECT', {
      callback(error, msg) {
        if (error) resolve(error);
        else heard.push(msg.subject);
      },
    });
  });
  expect((await refused)?.message).toMatch(/permission/i);
  expect(heard).toEqual([]);
});

it('after a loss of its server it goes on with another', async () => {
  const client = await open();
  const at = ground.cluster.servers.find(({ url }) =>
    url.endsWith(String(client.nc.getServer().split(':').at(-1))),
  );
  await at?.kill();
  await eventually(async () => {
    const { replies } = await client.requestAll('$SYS.REQ.CLAIMS.LIST', '', { expect: 2 });
    expect(replies).toHaveLength(2);
  }, 15_000);
  await at?.start();
});

it('a login that we make lives an hour and only in memory; what of it reaches the bus is public', async () => {
  const client = await open();
  const { replies } = await client.requestAll('$SYS.REQ.SERVER.PING.CONNZ', '{"auth":true}', { expect: 3 });
  const connections = replies.flatMap(
    ({ data }) => (data as { connections?: { name?: string; jwt?: string }[] }).connections ?? [],
  );
  const ours = connections.filter(({ name }) => name === 'gatehouse-push');
  expect(ours.length).toBeGreaterThan(0);
  for (const { jwt = '' } of ours) {
    const { exp, iat, nats } = JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString());
    expect(exp - iat).toBe(3_600);
    expect(nats.bearer_token).toBeUndefined();
    expect(nats.sub.allow).toHaveLength(1);
  }
  const kinds = await ground.ctx.db.selectFrom('secret').select('kind').execute();
  expect(kinds.map(({ kind }) => kind)).not.toContain('user');
});

it('creds from outside are used as they are', async () => {
  const { ctx, clusterId, operator } = ground;
  const user = createNkey('user');
  const creds = await ctx.db.transaction().execute(async (tx) => {
    const { key, issuerAccount } = await accountSigner(tx, ctx, operator.system_account_id ?? '');
    const jwt = encodeJwt(
      { sub: user.publicKey, name: 'given', iat: Math.floor(Date.now() / 1_000) },
      { type: 'user', subs: -1, data: -1, payload: -1, issuer_account: issuerAccount },
      key,
    );
    return formatCreds({ jwt, seed: user.seed().toString() });
  });
  expect(parseCreds(creds)).toBeDefined();
  await ctx.db.transaction().execute(async (tx) => {
    const secret_id = await keepSecret(tx, ctx, {
      kind: 'creds',
      publicKey: user.publicKey,
      plaintext: creds,
    });
    await tx.updateTable('cluster').set({ secret_id }).where('id', '=', clusterId).execute();
  });
  const client = await open();
  expect(await client.servers()).toHaveLength(3);
  await ctx.db.updateTable('cluster').set({ secret_id: null }).where('id', '=', clusterId).execute();
});

it('a cluster that nobody answers for is unreachable soon, with a reason and without a secret', async () => {
  const { ctx, clusterId } = ground;
  const { servers } = await ctx.db.selectFrom('cluster').select('servers').executeTakeFirstOrThrow();
  await ctx.db
    .updateTable('cluster')
    .set({ servers: ['nats://127.0.0.1:1'] })
    .where('id', '=', clusterId)
    .execute();
  const begun = performance.now();
  const error = await openSystemClient(ctx, clusterId).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(ClusterUnreachable);
  expect((error as Error).message).not.toMatch(/eyJ|SU[A-Z0-9]{10}/);
  expect(performance.now() - begun).toBeLessThan(10_000);
  await ctx.db.updateTable('cluster').set({ servers }).where('id', '=', clusterId).execute();
});
