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
  reasonBody,
  showRevision,
} from '../change.ts';
import { type NatsIdentityContext, type NatsidTransaction, route } from '../context.ts';
import { lockAccount } from '../visible.ts';
import { AccountChanged, accountDetail } from './account-view.ts';
import { activeUsers } from './change-account.ts';

export const restoreAccount = route({
  method: 'POST',
  path: '/api/nats/accounts/:id/restore',
  access: 'nats.manage',
  summary: 'Open a locked account again',
  description:
    'Ends a deletion that has not begun to purge. Users connect again with the credentials that they have.',
  params: Type.Object({ id: Uuid }),
  query: Type.Object(changeQuery, { additionalProperties: false }),
  body: Type.Object(reasonBody),
  answer: AccountChanged,
  problems: ['not_found', 'conflict', 'no_signing_key', 'precondition_failed'],
  run: (ctx) => async (call) => {
    const answer = await inChange(ctx, call.query, (tx) => restore(tx, ctx, call));
    showRevision(call, answer.revision);
    return answer;
  },
});

type RestoreCall = ChangeCall & {
  readonly body: { readonly reason?: string };
  readonly query: { readonly dry_run?: 'true' | 'false' };
  readonly params: { readonly id: string };
};

async function restore(tx: NatsidTransaction, ctx: NatsIdentityContext, call: RestoreCall) {
  const { body, query } = call;
  const before = await lockAccount(tx, call.principal, call.params.id, { anyState: true });
  checkRevision(call, before.revision);
  if (before.state !== 'locked')
    throw new Problem('conflict', {
      detail:
        before.state === 'active'
          ? 'The account is not locked.'
          : 'The deletion has gone too far: streams may be lost already.',
    });
  // The job that follows tenants would lock it again.
  if (before.held)
    throw new Problem('conflict', { detail: 'Its tenant is disabled: it opens when the tenant is enabled.' });
  await tx
    .updateTable('account')
    .set({
      state: 'active',
      state_at: sql<Date>`now()`,
      state_detail: null,
      purge_consent: false,
      revision: sql<number>`revision + 1`,
    })
    .where('id', '=', before.id)
    .execute();
  const { account } = await reissueAccount(tx, ctx, before.id);
  const { by, traceparent } = acting(call, body.reason);
  const { id, name, public_key } = account;
  await append(tx, {
    type: 'natsid.account.restored',
    tenant_id: account.tenant_id,
    aggregate: `account:${id}`,
    traceparent,
    data: { ...by, id, name, public_key },
  });
  return {
    ...(await accountDetail(tx, account, { dryRun: query.dry_run === 'true' })),
    change: changeView(query, [], {
      accounts: 1,
      users: await activeUsers(tx, id),
      clusters: await clusterCount(tx, account.operator_id),
    }),
  };
}
