import { Problem, tenantScope, Uuid } from '@gatehouse/kit';
import Type from 'typebox';
import { showRevision } from '../change.ts';
import { route } from '../context.ts';
import { RoleView, roleView, selectRoles } from './role-view.ts';

export const showRole = route({
  method: 'GET',
  path: '/api/nats/roles/:id',
  access: 'nats.read',
  summary: 'One role',
  params: Type.Object({ id: Uuid }),
  answer: RoleView,
  problems: ['not_found'],
  run: (ctx) => async (call) => {
    const tenant = tenantScope(call.principal);
    const row = await selectRoles(ctx.db)
      .where('k.id', '=', call.params.id.toLowerCase())
      .$if(tenant !== undefined, (some) => some.where('a.tenant_id', '=', tenant ?? ''))
      .executeTakeFirst();
    if (row === undefined) throw new Problem('not_found');
    showRevision(call, row.revision);
    return roleView(row);
  },
});
