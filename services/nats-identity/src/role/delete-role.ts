import { append, Problem, Uuid } from '@gatehouse/kit';
import Type from 'typebox';
import { clusterCount, reissueAccount } from '../account-jwt.ts';
import {
  actedBy,
  ChangeView,
  changeQuery,
  changeView,
  checkRevision,
  diffOf,
  inChange,
  reasonQuery,
} from '../change.ts';
import { route } from '../context.ts';
import { markIssuedBy } from '../revocation/revoke.ts';
import { lockRole, readRole } from './role-view.ts';

export const deleteRole = route({
  method: 'DELETE',
  path: '/api/nats/roles/:id',
  access: 'nats.manage',
  summary: 'Delete a role that no user has',
  description:
    'Its key goes from the account’s JWT: what it signed for users that have left the role is dead, and their connections are closed.',
  params: Type.Object({ id: Uuid }),
  query: Type.Object({ ...changeQuery, ...reasonQuery }, { additionalProperties: false }),
  answer: Type.Object({ change: ChangeView }),
  problems: [
    'not_found',
    'account_not_active',
    'key_in_use',
    'precondition_failed',
    'no_signing_key',
    'conflict',
  ],
  run: (ctx) => async (call) => {
    const { params, principal, query } = call;
    const change = await inChange(ctx, query, async (tx) => {
      const { account, role } = await lockRole(tx, principal, params.id);
      checkRevision(call, role.revision);
      const { users, name } = await readRole(tx, role.id);
      if (users > 0)
        throw new Problem('key_in_use', {
          detail: `The role still has ${users} user${users === 1 ? '' : 's'}.`,
        });
      const dead = await markIssuedBy(tx, account.id, role.public_key);
      await tx.deleteFrom('account_key').where('id', '=', role.id).execute();
      if (role.secret_id !== null) await tx.deleteFrom('secret').where('id', '=', role.secret_id).execute();
      await reissueAccount(tx, ctx, account.id);
      await append(tx, {
        type: 'natsid.role.deleted',
        tenant_id: account.tenant_id,
        aggregate: `role:${role.id}`,
        traceparent: call.trace.traceparent,
        data: {
          ...actedBy(call, query.reason),
          id: role.id,
          name,
          public_key: role.public_key,
          account_id: account.id,
        },
      });
      const clusters = await clusterCount(tx, account.operator_id);
      const affected = { accounts: 1, users: dead.users, disconnects: dead.credentials > 0, clusters };
      return changeView(query, diffOf(role.scope, {}), affected);
    });
    return { change };
  },
});
