import { page, pageOf, pageQuery, readPage, tenantScope, Uuid } from '@gatehouse/kit';
import { sql } from 'kysely';
import Type from 'typebox';
import { route } from '../context.ts';
import { TagText } from '../name.ts';
import { namedLike, searchQuery } from '../search.ts';
import { selectUsers, UserView, userView } from './user-view.ts';

export const listUsers = route({
  method: 'GET',
  path: '/api/nats/users',
  access: 'nats.read',
  summary: 'NATS users, newest first',
  query: Type.Object(
    {
      ...pageQuery,
      ...searchQuery,
      tag: Type.Optional(TagText),
      account_id: Type.Optional(Uuid),
      role_id: Type.Optional(Uuid),
      state: Type.Optional(Type.Union([Type.Literal('active'), Type.Literal('revoked')])),
    },
    { additionalProperties: false },
  ),
  answer: pageOf(UserView),
  problems: ['bad_cursor'],
  run:
    (ctx) =>
    async ({ principal, query }) => {
      const tenantId = tenantScope(principal);
      const { q, tag, state } = query;
      const accountId = query.account_id?.toLowerCase();
      const roleId = query.role_id?.toLowerCase();
      const binding = { list: 'natsid.users', tenantId, filters: { accountId, roleId, state, q, tag } };
      const request = readPage(ctx.secrets.cursorKey, query, binding);
      const rows = await selectUsers(ctx.db)
        .$if(tenantId !== undefined, (some) => some.where('a.tenant_id', '=', tenantId ?? ''))
        .$if(accountId !== undefined, (some) => some.where('u.account_id', '=', accountId ?? ''))
        .$if(roleId !== undefined, (some) => some.where('u.role_id', '=', roleId ?? ''))
        .$if(state !== undefined, (some) => some.where('u.state', '=', state ?? 'active'))
        .$if(q !== undefined, (some) => some.where(namedLike('u.name', 'u.public_key', q ?? '')))
        .$if(tag !== undefined, (some) => some.where(hasTag(tag ?? '')))
        .$if(request.after !== undefined, (some) =>
          some.where(sql<boolean>`u.id < ${request.after?.[0]}::uuid`),
        )
        .orderBy('u.id', 'desc')
        .limit(request.limit + 1)
        .execute();
      return page(ctx.secrets.cursorKey, rows, {
        ...request,
        binding,
        position: (row) => [row.id],
        item: userView,
      });
    },
});

const hasTag = (tag: string) => sql<boolean>`exists (
  select from jsonb_array_elements_text(case jsonb_typeof(u.claims -> 'tags') when 'array' then u.claims -> 'tags' end) as t(tag)
  where lower(t.tag) = lower(${tag}))`;
