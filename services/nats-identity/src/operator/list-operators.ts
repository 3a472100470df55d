import { page, pageOf, pageQuery, readPage } from '@gatehouse/kit';
import { sql } from 'kysely';
import Type from 'typebox';
import { route } from '../context.ts';
import { TagText } from '../name.ts';
import { namedLike, searchQuery } from '../search.ts';
import { tagged } from '../tag.ts';
import { OperatorView, operatorViews } from './operator-view.ts';
import { seesAllOperators } from './visible-operator.ts';

const Query = Type.Object(
  { ...pageQuery, ...searchQuery, tag: Type.Optional(TagText) },
  { additionalProperties: false },
);

export const listOperators = route({
  method: 'GET',
  path: '/api/nats/operators',
  access: 'nats.read',
  summary: 'Operators, newest first',
  description: 'An ADMIN sees those that are open to tenants.',
  query: Query,
  answer: pageOf(OperatorView),
  problems: ['bad_cursor'],
  run:
    (ctx) =>
    async ({ principal, query }) => {
      const all = seesAllOperators(principal);
      const { q, tag } = query;
      const binding = {
        list: 'natsid.operators',
        tenantId: all ? undefined : principal.tenantId,
        filters: { q, tag },
      };
      const request = readPage(ctx.secrets.cursorKey, query, binding);
      const rows = await ctx.db
        .selectFrom('operator as o')
        .selectAll('o')
        .select(sql<string>`o.created_at::text`.as('position'))
        .$if(!all, (some) => some.where('o.open_to_tenants', '=', true))
        .$if(q !== undefined, (some) => some.where(namedLike('o.name', 'o.public_key', q ?? '')))
        .$if(tag !== undefined, (some) => some.where(tagged('o.claims', tag ?? '')))
        .$if(request.after !== undefined, (some) =>
          some.where(
            sql<boolean>`(o.created_at, o.id) < (${request.after?.[0]}::timestamptz, ${request.after?.[1]}::uuid)`,
          ),
        )
        .orderBy('o.created_at', 'desc')
        .orderBy('o.id', 'desc')
        .limit(request.limit + 1)
        .execute();
      const shown = page(ctx.secrets.cursorKey, rows, {
        ...request,
        binding,
        position: (row) => [row.position, row.id],
        item: (row) => row,
      });
      return { ...shown, items: await operatorViews(ctx.db, shown.items) };
    },
});
