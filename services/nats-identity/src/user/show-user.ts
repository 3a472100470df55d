import { Problem, tenantScope, Uuid } from '@gatehouse/kit';
import Type from 'typebox';
import { showRevision } from '../change.ts';
import { route } from '../context.ts';
import { selectUsers, UserView, userView } from './user-view.ts';

export const showUser = route({
  method: 'GET',
  path: '/api/nats/users/:id',
  access: 'nats.read',
  summary: 'One user',
  params: Type.Object({ id: Uuid }),
  answer: UserView,
  problems: ['not_found'],
  run: (ctx) => async (call) => {
    const tenant = tenantScope(call.principal);
    const row = await selectUsers(ctx.db)
      .where('u.id', '=', call.params.id.toLowerCase())
      .$if(tenant !== undefined, (some) => some.where('a.tenant_id', '=', tenant ?? ''))
      .executeTakeFirst();
    if (row === undefined) throw new Problem('not_found');
    showRevision(call, row.revision);
    return userView(row);
  },
});
