import { append, Uuid } from '@gatehouse/kit';
import { sql } from 'kysely';
import Type from 'typebox';
import { clusterCount, reissueAccount } from '../account-jwt.ts';
import {
  acting,
  changeQuery,
  changeView,
  checkRevision,
  inChange,
  reasonBody,
  showRevision,
} from '../change.ts';
import { route } from '../context.ts';
import { lockAccount } from '../visible.ts';
import { AccountChanged, accountDetail } from './account-view.ts';
import { addPlainKey } from './signing-key.ts';

export const addAccountKey = route({
  method: 'POST',
  path: '/api/nats/accounts/:id/signing-keys',
  access: 'nats.manage',
  summary: 'Give an account a new plain signing key',
  description:
    'From then on it signs users without a role, and activation tokens. Roles have keys of their own: see /api/nats/roles.',
  params: Type.Object({ id: Uuid }),
  query: Type.Object(changeQuery, { additionalProperties: false }),
  body: Type.Object(reasonBody),
  status: 201,
  answer: AccountChanged,
  problems: [
    'not_found',
    'account_not_active',
    'account_jwt_too_large',
    'no_signing_key',
    'precondition_failed',
  ],
  run: (ctx) => async (call) => {
    const { body, query } = call;
    const answer = await inChange(ctx, query, async (tx) => {
      const before = await lockAccount(tx, call.principal, call.params.id);
      checkRevision(call, before.revision);
      const key = await addPlainKey(tx, ctx, before.id);
      await tx
        .updateTable('account')
        .set({ revision: sql<number>`revision + 1` })
        .where('id', '=', before.id)
        .execute();
      const { account } = await reissueAccount(tx, ctx, before.id);
      const { by, traceparent } = acting(call, body.reason);
      await append(tx, {
        type: 'natsid.account.key_added',
        tenant_id: account.tenant_id,
        aggregate: `account:${account.id}`,
        traceparent,
        data: { ...by, account_id: account.id, account_key: account.public_key, key: key.publicKey },
      });
      return {
        ...(await accountDetail(tx, account, { dryRun: query.dry_run === 'true' })),
        change: changeView(query, [{ path: 'signing_keys', before: null, after: key.publicKey }], {
          accounts: 1,
          clusters: await clusterCount(tx, account.operator_id),
        }),
      };
    });
    showRevision(call, answer.revision);
    return answer;
  },
});
