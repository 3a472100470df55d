import { Uuid } from '@gatehouse/kit';
import Type from 'typebox';
import { clusterCount, reissueAccount } from '../account-jwt.ts';
import { ChangeView, changeQuery, changeView, inChange, reasonBody } from '../change.ts';
import { route } from '../context.ts';
import { lockLivingAccount } from '../user/user-row.ts';
import { RevocationView, revocationView } from './list-revocations.ts';
import { EVERYBODY, revokeKey } from './revoke.ts';
import { tellRevoked } from './tell-revoked.ts';

/** A user's public key, or `*`. */
export const RevokedKey = Type.String({
  pattern: '^(\\*|U[A-Z2-7]{55})$',
  description: 'Public key of a user; `*`: everybody in the account.',
});

export const addRevocation = route({
  method: 'POST',
  path: '/api/nats/accounts/:id/revocations',
  access: 'nats.manage',
  summary: 'Revoke everything issued until now to one key, or to everybody in the account',
  description:
    'Servers close the live connections. Users stay as they are: what is issued to them afterwards works. To shut a user out, revoke the user (POST /api/nats/users/:id/revoke).',
  params: Type.Object({ id: Uuid }),
  query: Type.Object(changeQuery, { additionalProperties: false }),
  body: Type.Object({ public_key: RevokedKey, ...reasonBody }),
  status: 201,
  answer: Type.Object({ ...RevocationView.properties, change: ChangeView }),
  problems: ['not_found', 'account_not_active', 'no_signing_key', 'conflict'],
  run: (ctx) => async (call) => {
    const { body, params, principal, query } = call;
    const key = body.public_key;
    return inChange(ctx, query, async (tx) => {
      const account = await lockLivingAccount(tx, principal, params.id);
      const revoked = await revokeKey(tx, account, key, { reason: body.reason });
      await reissueAccount(tx, ctx, account.id);
      await tellRevoked(tx, {
        account,
        call,
        reason: body.reason,
        publicKey: key,
        count: revoked.credentials,
      });
      const row = await tx
        .selectFrom('revocation')
        .selectAll()
        .where('account_id', '=', account.id)
        .where('public_key', '=', key)
        .executeTakeFirstOrThrow();
      const clusters = await clusterCount(tx, account.operator_id);
      // What the ledger does not name (an import's) may be connected too.
      const disconnects = revoked.credentials > 0 || key === EVERYBODY || revoked.until === null;
      const affected = { accounts: 1, users: revoked.users, disconnects, clusters };
      return { ...revocationView(row), change: changeView(query, [], affected) };
    });
  },
});
