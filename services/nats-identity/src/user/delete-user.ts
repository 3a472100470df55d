import { append, Uuid } from '@gatehouse/kit';
import { sql } from 'kysely';
import Type from 'typebox';
import { clusterCount, reissueAccount } from '../account-jwt.ts';
import {
  actedBy,
  type ChangeView as Change,
  ChangeView,
  changeQuery,
  changeView,
  checkRevision,
  inChange,
  reasonQuery,
} from '../change.ts';
import { type NatsIdentityContext, type NatsidTransaction, route } from '../context.ts';
import { revokeKey } from '../revocation/revoke.ts';
import { type LockedUser, lockUser } from './user-row.ts';

export const deleteUser = route({
  method: 'DELETE',
  path: '/api/nats/users/:id',
  access: 'nats.manage',
  summary: 'Delete a user and revoke what it holds',
  description:
    'Its live connections are closed. The revocation stays in the account until all that was issued to the user has expired; the ledger keeps what was issued.',
  params: Type.Object({ id: Uuid }),
  query: Type.Object({ ...changeQuery, ...reasonQuery }, { additionalProperties: false }),
  answer: Type.Object({ change: ChangeView }),
  problems: ['not_found', 'account_not_active', 'precondition_failed', 'no_signing_key', 'conflict'],
  run: (ctx) => async (call) => {
    const { params, principal, query } = call;
    const change = await inChange(ctx, query, async (tx) => {
      const locked = await lockUser(tx, principal, params.id, { living: true });
      const { account, user } = locked;
      checkRevision(call, user.revision);
      await tx.deleteFrom('nats_user').where('id', '=', user.id).execute();
      if (user.secret_id !== null) await tx.deleteFrom('secret').where('id', '=', user.secret_id).execute();
      const affected = await revokeHeld(tx, ctx, locked, query.reason);
      await append(tx, {
        type: 'natsid.user.deleted',
        tenant_id: account.tenant_id,
        aggregate: `nats_user:${user.id}`,
        traceparent: call.trace.traceparent,
        data: {
          ...actedBy(call, query.reason),
          id: user.id,
          name: user.name,
          public_key: user.public_key,
          account_id: account.id,
        },
      });
      return changeView(query, [], { ...affected, users: 1 });
    });
    return { change };
  },
});

/** Nothing is revoked, and no server told, when the user holds nothing that lives. */
async function revokeHeld(
  tx: NatsidTransaction,
  ctx: NatsIdentityContext,
  { account, user }: LockedUser,
  reason: string | undefined,
): Promise<Partial<Change['affected']>> {
  const held = await tx
    .selectFrom('credential')
    .select('id')
    .where('user_id', '=', user.id)
    .where('revoked_at', 'is', null)
    .where(sql<boolean>`(expires_at is null or expires_at > now())`)
    .limit(1)
    .executeTakeFirst();
  if (held === undefined && !account.imported) return {};
  await revokeKey(tx, account, user.public_key, { reason });
  await reissueAccount(tx, ctx, account.id);
  return { accounts: 1, disconnects: true, clusters: await clusterCount(tx, account.operator_id) };
}
