import { Uuid } from '@gatehouse/kit';
import { sql } from 'kysely';
import Type from 'typebox';
import { clusterCount, reissueAccount } from '../account-jwt.ts';
import {
  ChangeView,
  changeQuery,
  changeView,
  checkRevision,
  inChange,
  reasonBody,
  showRevision,
} from '../change.ts';
import { route } from '../context.ts';
import { revokeKey } from '../revocation/revoke.ts';
import { tellRevoked } from '../revocation/tell-revoked.ts';
import { lockUser } from './user-row.ts';
import { readUser, UserView } from './user-view.ts';

export const revokeUser = route({
  method: 'POST',
  path: '/api/nats/users/:id/revoke',
  access: 'nats.manage',
  summary: 'Shut a user out: revoke all that was issued to it, and issue nothing more',
  description: 'Servers close its live connections. Until it is restored no credentials are issued to it.',
  params: Type.Object({ id: Uuid }),
  query: Type.Object(changeQuery, { additionalProperties: false }),
  body: Type.Object(reasonBody),
  answer: Type.Object({ ...UserView.properties, change: ChangeView }),
  problems: ['not_found', 'account_not_active', 'precondition_failed', 'no_signing_key', 'conflict'],
  run: (ctx) => async (call) => {
    const { body, params, principal, query } = call;
    const done = await inChange(ctx, query, async (tx) => {
      const { account, user } = await lockUser(tx, principal, params.id, { living: true });
      checkRevision(call, user.revision);
      const { credentials: count } = await revokeKey(tx, account, user.public_key, { reason: body.reason });
      if (user.state !== 'revoked')
        await tx
          .updateTable('nats_user')
          .set({ state: 'revoked', revision: sql<number>`revision + 1`, updated_at: sql<Date>`now()` })
          .where('id', '=', user.id)
          .execute();
      await reissueAccount(tx, ctx, account.id);
      await tellRevoked(tx, { account, call, reason: body.reason, publicKey: user.public_key, count });
      const clusters = await clusterCount(tx, account.operator_id);
      const affected = { accounts: 1, users: 1, disconnects: true, clusters };
      return { ...(await readUser(tx, user.id)), change: changeView(query, [], affected) };
    });
    showRevision(call, done.revision);
    return done;
  },
});
