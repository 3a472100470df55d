import { pageOf, routesOf } from '@gatehouse/kit';
import type { AuditContext } from './context.ts';
import { EventItem, itemOf } from './event-item.ts';
import { filtersOf, SearchQuery } from './search-filters.ts';
import { searchPage } from './search-page.ts';
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
    (ctx) =>
    async ({ query, principal }) => {
      const tenantId = visibleTenant(principal, query.tenant_id);
      const filters = filtersOf(query, tenantId);
      return searchPage(ctx, { list: 'audit.events', query, tenantId, filters, item: itemOf });
    },
});
