import { jwtHash } from '@gatehouse/nats-claims';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type SyncGround, startSyncGround } from './sync-testing.ts';

let ground: SyncGround;
beforeAll(async () => {
  ground = await startSyncGround();
}, 60_000);
afterAll(() => ground?.close());

const hexOf = (jwt: string) => jwtHash(jwt).toString('hex');

it('an account is stored on every server, and proven there', async () => {
  const account = await ground.addAccount();
  const row = await ground.proven(account.id);
  const stored = await ground.stored(account.public_key);
  expect(stored).toEqual([account.jwt, account.jwt, account.jwt]);
  expect(Object.keys(row.servers).sort()).toEqual(['s0', 's1', 's2']);
  for (const server of Object.values(row.servers))
    expect(server).toMatchObject({ stored: hexOf(account.jwt), enforced: 'not_loaded' });
});

it('where an account is loaded, what the server enforces is read back', async () => {
  const account = await ground.addAccount();
  await ground.proven(account.id);
  const [, s1] = ground.cluster.servers;
  await ground.user(account.id, s1?.url ?? '');
  const changed = await ground.change(account.id, 'enforced');
  const row = await ground.proven(account.id);
  expect(row.servers).toMatchObject({
    s0: { enforced: 'not_loaded' },
    s1: { stored: hexOf(changed.jwt), enforced: hexOf(changed.jwt) },
  });
});
