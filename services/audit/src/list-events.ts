import { page, pageOf, readPage, routesOf } from '@gatehouse/kit';
import type { AuditContext } from './context.ts';
import { EventItem, itemOf } from './event-item.ts';
import { searchEvents } from './search-events.ts';
import { filtersOf, SearchQuery } from './search-filters.ts';
import { visibleTenant } from './visible-tenant.ts';

/** The audit trail, newest first. An administrator sees the own tenant, a platform administrator everything. */
export const listEvents = routesOf<AuditContext>()({
  method: 'GET',
  path: '/api/audit/events',
  access: 'audit.read',
  summary: 'The audit trail, newest first',
  description:
    'Administrators see the events of their own tenant, platform administrators all of them. `from` is inclusive, `to` is not. Fields that were personal and have been erased are null.',
  query: SearchQuery,
  answer: pageOf(EventItem),
  problems: ['bad_cursor', 'unknown_tenant'],
  run:
    ({ db, secrets }) =>
    async ({ query, principal }) => {
      const tenantId = visibleTenant(principal, query.tenant_id);
      const filters = filtersOf(query, tenantId);
      const binding = { list: 'audit.events', tenantId, filters };
      const { limit, after } = readPage(secrets.cursorKey, query, binding);
      const rows = await searchEvents(db, filters, {
        limit: limit + 1,
        after: after && { time: new Date(String(after[0])), id: String(after[1]) },
      });
      return page(secrets.cursorKey, rows, {
        ...{ limit, after, binding },
        position: (row) => [row.occurred_at.toISOString(), row.id],
        item: itemOf,
      });
    },
});
