import { page, pageOf, pageQuery, readPage } from '@gatehouse/kit';
import { sql } from 'kysely';
import Type from 'typebox';
import { route } from './context.ts';
import { beginsWith, SearchText } from './search-text.ts';
import { TenantStatusName, TenantView, tenantView } from './tenant-view.ts';

export const listTenants = route({
  method: 'GET',
  path: '/api/admin/tenants',
  access: 'tenants.manage',
  summary: 'Tenants, newest first',
  query: Type.Object(
    {
      ...pageQuery,
      q: SearchText('Beginning of the name, upper and lower case alike.'),
      status: Type.Optional(TenantStatusName),
    },
    { additionalProperties: false },
  ),
  answer: pageOf(TenantView),
  problems: ['bad_cursor'],
  run:
    (ctx) =>
    async ({ query }) => {
      const { q, status } = query;
      const binding = { list: 'auth.tenants', filters: { q, status } };
      const request = readPage(ctx.secrets.cursorKey, query, binding);
      const rows = await ctx.db
        .selectFrom('tenant')
        .selectAll()
        // As text: a Date has milliseconds, the column microseconds, and a cursor must not skip what lies between.
        .select(sql<string>`created_at::text`.as('position'))
        .$if(q !== undefined, (some) => some.where(sql<boolean>`lower(name) like ${beginsWith(q ?? '')}`))
        .$if(status !== undefined, (some) => some.where('status', '=', status ?? 'active'))
        .$if(request.after !== undefined, (some) =>
          some.where(
            sql<boolean>`(created_at, id) < (${request.after?.[0]}::timestamptz, ${request.after?.[1]}::uuid)`,
          ),
        )
        .orderBy('created_at', 'desc')
        .orderBy('id', 'desc')
        .limit(request.limit + 1)
        .execute();
      return page(ctx.secrets.cursorKey, rows, {
        ...request,
        binding,
        position: (row) => [row.position, row.id],
        item: tenantView,
      });
    },
});
