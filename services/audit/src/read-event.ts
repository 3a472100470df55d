import { Problem, routesOf, Uuid } from '@gatehouse/kit';
import Type from 'typebox';
import type { AuditContext } from './context.ts';
import { EventItem, itemOf } from './event-item.ts';
import { visibleTenant } from './visible-tenant.ts';

/** One event by its id. */
export const readEvent = routesOf<AuditContext>()({
  method: 'GET',
  path: '/api/audit/events/:id',
  access: 'audit.read',
  summary: 'One event of the audit trail',
  params: Type.Object({ id: Uuid }),
  answer: EventItem,
  problems: ['not_found'],
  run:
    ({ db }) =>
    async ({ params, principal }) => {
      const tenant = visibleTenant(principal, undefined);
      const row = await db
        .selectFrom('event')
        .selectAll()
        .where('id', '=', params.id)
        .$if(tenant !== undefined, (query) => query.where('tenant_id', '=', tenant ?? null))
        .executeTakeFirst();
      if (row === undefined) throw new Problem('not_found');
      return itemOf(row);
    },
});
