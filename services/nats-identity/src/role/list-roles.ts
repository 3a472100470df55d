import { page, pageOf, pageQuery, readPage, tenantScope, Uuid } from '@gatehouse/kit';
import { sql } from 'kysely';
import Type from 'typebox';
import { route } from '../context.ts';
import { namedLike, searchQuery } from '../search.ts';
import { RoleView, roleView, selectRoles } from './role-view.ts';

export const listRoles = route({
  method: 'GET',
  path: '/api/nats/roles',
  access: 'nats.read',
  summary: 'Roles, newest first',
  query: Type.Object(
    { ...pageQuery, ...searchQuery, account_id: Type.Optional(Uuid) },
    { additionalProperties: false },
  ),
  answer: pageOf(RoleView),
  problems: ['bad_cursor'],
  run:
    (ctx) =>
    async ({ principal, query }) => {
      const tenantId = tenantScope(principal);
      const accountId = query.account_id?.toLowerCase();
      const { q } = query;
      const binding = { list: 'natsid.roles', tenantId, filters: { accountId, q } };
      const request = readPage(ctx.secrets.cursorKey, query, binding);
      const rows = await selectRoles(ctx.db)
        .$if(tenantId !== undefined, (some) => some.where('a.tenant_id', '=', tenantId ?? ''))
        .$if(accountId !== undefined, (some) => some.where('k.account_id', '=', accountId ?? ''))
        .$if(q !== undefined, (some) => some.where(namedLike('k.role_name', 'k.public_key', q ?? '')))
        .$if(request.after !== undefined, (some) =>
          some.where(sql<boolean>`k.id < ${request.after?.[0]}::uuid`),
        )
        .orderBy('k.id', 'desc')
        .limit(request.limit + 1)
        .execute();
      return page(ctx.secrets.cursorKey, rows, {
        ...request,
        binding,
        position: (row) => [row.id],
        item: roleView,
      });
    },
});
