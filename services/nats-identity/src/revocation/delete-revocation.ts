import { append, Problem, Uuid } from '@gatehouse/kit';
import { sql } from 'kysely';
import Type from 'typebox';
import { clusterCount, reissueAccount } from '../account-jwt.ts';
import { actedBy, ChangeView, changeQuery, changeView, inChange, reasonQuery } from '../change.ts';
import { route } from '../context.ts';
import { lockLivingAccount } from '../user/user-row.ts';
import { RevokedKey } from './add-revocation.ts';

export const deleteRevocation = route({
  method: 'DELETE',
  path: '/api/nats/accounts/:id/revocations/:public_key',
  access: 'nats.manage',
  summary: 'Drop a revocation that kills nothing any more',
  description:
    'Refused while something that it kills could come back to life: what is revoked stays revoked. Revocations go by themselves when all that they name has expired; only one that nobody knows the end of (`until` is null) has to be dropped with force=true, by somebody who knows that no such JWT is left.',
  params: Type.Object({ id: Uuid, public_key: RevokedKey }),
  query: Type.Object(
    {
      ...changeQuery,
      ...reasonQuery,
      force: Type.Optional(
        Type.Union([Type.Literal('true'), Type.Literal('false')], {
          description: 'true: although JWTs that the ledger does not name may live again.',
        }),
      ),
    },
    { additionalProperties: false },
  ),
  answer: Type.Object({ change: ChangeView }),
  problems: ['not_found', 'account_not_active', 'key_in_use', 'no_signing_key', 'conflict'],
  run: (ctx) => async (call) => {
    const { params, principal, query } = call;
    const change = await inChange(ctx, query, async (tx) => {
      const account = await lockLivingAccount(tx, principal, params.id);
      const key = params.public_key;
      const { rows } = await sql<{ endless: boolean; over: boolean; living: number }>`
        select r.until is null as endless, coalesce(r.until <= now(), false) as over,
          (select count(*)::int4 from credential c
            where c.account_id = r.account_id and (r.public_key = '*' or c.public_key = r.public_key)
              and c.iat <= r.before and (c.expires_at is null or c.expires_at > now())) as living
        from revocation r where r.account_id = ${account.id} and r.public_key = ${key} for update`.execute(
        tx,
      );
      const [found] = rows;
      if (found === undefined) throw new Problem('not_found');
      if (found.living > 0)
        throw new Problem('key_in_use', {
          detail: `It keeps ${found.living} credential${found.living === 1 ? '' : 's'} dead that would otherwise still be valid.`,
        });
      if (!found.over && !(found.endless && query.force === 'true'))
        throw new Problem('key_in_use', {
          detail: found.endless
            ? 'JWTs that the ledger does not name may live again; force=true drops it all the same.'
            : 'What it kills has not expired yet.',
        });
      await tx
        .deleteFrom('revocation')
        .where('account_id', '=', account.id)
        .where('public_key', '=', key)
        .execute();
      await reissueAccount(tx, ctx, account.id);
      await append(tx, {
        type: 'natsid.revocation.dropped',
        tenant_id: account.tenant_id,
        aggregate: `account:${account.id}`,
        traceparent: call.trace.traceparent,
        data: {
          ...actedBy(call, query.reason),
          account_id: account.id,
          account_key: account.public_key,
          public_key: key,
        },
      });
      const clusters = await clusterCount(tx, account.operator_id);
      return changeView(query, [], { accounts: 1, clusters });
    });
    return { change };
  },
});
