import { append, Problem, Uuid } from '@gatehouse/kit';
import { sql } from 'kysely';
import Type from 'typebox';
import { clusterCount, reissueAccount } from '../account-jwt.ts';
import {
  acting,
  type ChangeCall,
  changeQuery,
  changeView,
  checkRevision,
  inChange,
  reasonQuery,
  showRevision,
} from '../change.ts';
import { type NatsIdentityContext, type NatsidTransaction, route } from '../context.ts';
import { AccountKeyText } from '../name.ts';
import { markIssuedBy } from '../revocation/revoke.ts';
import { lockAccount } from '../visible.ts';
import { AccountChanged, accountDetail } from './account-view.ts';

export const removeAccountKey = route({
  method: 'DELETE',
  path: '/api/nats/accounts/:id/signing-keys/:public_key',
  access: 'nats.manage',
  summary: 'Take a plain signing key from an account',
  description:
    'Everybody whose credentials it signed is closed out at once, and activation tokens of it count no more. A role’s key goes with its role.',
  params: Type.Object({ id: Uuid, public_key: AccountKeyText }),
  query: Type.Object({ ...changeQuery, ...reasonQuery }, { additionalProperties: false }),
  answer: AccountChanged,
  problems: ['not_found', 'account_not_active', 'key_in_use', 'no_signing_key', 'precondition_failed'],
  run: (ctx) => async (call) => {
    const answer = await inChange(ctx, call.query, (tx) => remove(tx, ctx, call));
    showRevision(call, answer.revision);
    return answer;
  },
});

type RemoveCall = ChangeCall & {
  readonly query: { readonly dry_run?: 'true' | 'false'; readonly reason?: string };
  readonly params: { readonly id: string; readonly public_key: string };
};

async function remove(tx: NatsidTransaction, ctx: NatsIdentityContext, call: RemoveCall) {
  const { query } = call;
  const before = await lockAccount(tx, call.principal, call.params.id);
  checkRevision(call, before.revision);
  const key = await tx
    .selectFrom('account_key')
    .select(['id', 'public_key', 'role_name', 'secret_id'])
    .where('account_id', '=', before.id)
    .where('public_key', '=', call.params.public_key)
    .executeTakeFirst();
  if (key === undefined) throw new Problem('not_found');
  if (key.role_name !== null)
    throw new Problem('key_in_use', { detail: 'It is the key of a role: delete the role.' });
  await tx.deleteFrom('account_key').where('id', '=', key.id).execute();
  if (key.secret_id !== null) await tx.deleteFrom('secret').where('id', '=', key.secret_id).execute();
  const { users } = await markIssuedBy(tx, before.id, key.public_key);
  await tx
    .updateTable('account')
    .set({ revision: sql<number>`revision + 1` })
    .where('id', '=', before.id)
    .execute();
  const { account } = await reissueAccount(tx, ctx, before.id);
  const { by, traceparent } = acting(call, query.reason);
  await append(tx, {
    type: 'natsid.account.key_removed',
    tenant_id: account.tenant_id,
    aggregate: `account:${account.id}`,
    traceparent,
    data: { ...by, account_id: account.id, account_key: account.public_key, key: key.public_key },
  });
  return {
    ...(await accountDetail(tx, account, { dryRun: query.dry_run === 'true' })),
    change: changeView(query, [{ path: 'signing_keys', before: key.public_key, after: null }], {
      accounts: 1,
      users,
      disconnects: users > 0,
      clusters: await clusterCount(tx, account.operator_id),
    }),
  };
}
