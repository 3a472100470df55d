import { newId } from '@gatehouse/kit';
import { eventually } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { reissueAccount } from '../account-jwt.ts';
import { reissueOperator } from '../operator/operator-jwt.ts';
import { makeKey } from '../secret.ts';
import { type SyncGround, startSyncGround } from './sync-testing.ts';

// One server: when it starts anew, our own connection is lost and found again.
let ground: SyncGround;
beforeAll(async () => {
  ground = await startSyncGround({ servers: 1 });
}, 60_000);
afterAll(() => ground?.close());

it('a server that is found again with older trust is sent nothing, however soon something changes', async () => {
  const { ctx, operator, cluster } = ground;
  const [server] = cluster.servers;
  const { jwt: older } = operator;
  const { jwt: newer } = await ctx.db.transaction().execute(async (tx) => {
    const { key, secretId } = await makeKey(tx, ctx, 'operator_signing', 'operator');
    const about = { operator_id: operator.id, public_key: key.publicKey, secret_id: secretId };
    await tx
      .insertInto('operator_key')
      .values({ id: newId(), ...about, state: 'active' })
      .execute();
    return reissueOperator(tx, ctx, operator.id);
  });
  await server?.stop();
  await server?.start({ operatorJwt: newer });
  const { id } = await ground.addAccount();
  const { account } = await ctx.db.transaction().execute((tx) => reissueAccount(tx, ctx, id));
  await ground.proven(id, 20_000);

  await server?.stop();
  // It changes all the time, from before the server is there until it is known whom it trusts.
  let changes = 0;
  let state: string | undefined;
  const changing = (async () => {
    while (state !== 'operator_key_untrusted') await ground.change(id, `change ${++changes}`);
  })();
  await server?.start({ operatorJwt: older });
  await eventually(async () => {
    ({ state } = await ground.syncRow(id));
    expect(state).toBe('operator_key_untrusted');
  }, 20_000);
  await changing;
  await eventually(async () => expect(await ground.stored(account.public_key)).toEqual([account.jwt]));
  const { rows } = await ctx.pool.query(
    `select s.state from account_sync s where s.account_id = $1 and s.proven < s.wanted`,
    [id],
  );
  expect(rows).toHaveLength(1);

  await server?.stop();
  await server?.start({ operatorJwt: newer });
  await ground.proven(id, 20_000);
}, 60_000);
