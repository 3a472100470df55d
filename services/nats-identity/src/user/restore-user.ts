import { append, Uuid } from '@gatehouse/kit';
import { sql } from 'kysely';
import Type from 'typebox';
import {
  actedBy,
  ChangeView,
  changeQuery,
  changeView,
  checkRevision,
  inChange,
  reasonBody,
  showRevision,
} from '../change.ts';
import { route } from '../context.ts';
import { lockUser } from './user-row.ts';
import { readUser, UserView } from './user-view.ts';

export const restoreUser = route({
  method: 'POST',
  path: '/api/nats/users/:id/restore',
  access: 'nats.manage',
  summary: 'Let a revoked user have credentials again',
  description: 'What was revoked stays revoked; only what is issued from now on works.',
  params: Type.Object({ id: Uuid }),
  query: Type.Object(changeQuery, { additionalProperties: false }),
  body: Type.Object(reasonBody),
  answer: Type.Object({ ...UserView.properties, change: ChangeView }),
  problems: ['not_found', 'account_not_active', 'precondition_failed', 'conflict'],
  run: (ctx) => async (call) => {
    const { body, params, principal, query } = call;
    const done = await inChange(ctx, query, async (tx) => {
      const { account, user } = await lockUser(tx, principal, params.id);
      checkRevision(call, user.revision);
      if (user.state === 'active') return { ...(await readUser(tx, user.id)), change: changeView(query) };
      await tx
        .updateTable('nats_user')
        .set({ state: 'active', revision: sql<number>`revision + 1`, updated_at: sql<Date>`now()` })
        .where('id', '=', user.id)
        .execute();
      await append(tx, {
        type: 'natsid.user.changed',
        tenant_id: account.tenant_id,
        aggregate: `nats_user:${user.id}`,
        traceparent: call.trace.traceparent,
        data: {
          ...actedBy(call, body.reason),
          id: user.id,
          name: user.name,
          public_key: user.public_key,
          account_id: account.id,
          changes: [{ path: 'state', before: 'revoked', after: 'active' }],
        },
      });
      return { ...(await readUser(tx, user.id)), change: changeView(query, [], { users: 1 }) };
    });
    showRevision(call, done.revision);
    return done;
  },
});
