import { Problem, page, pageOf, pageQuery, readPage, tenantScope, Uuid } from '@gatehouse/kit';
import { sql } from 'kysely';
import Type from 'typebox';
import { route } from '../context.ts';
import { AllowanceView, allowanceView, selectAllowances } from './allowance-view.ts';

const Query = Type.Object(
  { ...pageQuery, tenant_id: Type.Optional(Uuid), operator_id: Type.Optional(Uuid) },
  { additionalProperties: false },
);

export const listAllowances = route({
  method: 'GET',
  path: '/api/nats/allowances',
  access: 'nats.read',
  summary: 'What tenants may have under operators, the latest changed first',
  description: 'An ADMIN sees those of the own tenant.',
  query: Query,
  answer: pageOf(AllowanceView),
  problems: ['bad_cursor', 'not_found'],
  run:
    (ctx) =>
    async ({ principal, query }) => {
      const own = tenantScope(principal);
      const tenantId = query.tenant_id?.toLowerCase();
      if (own !== undefined && tenantId !== undefined && tenantId !== own) throw new Problem('not_found');
      const operatorId = query.operator_id?.toLowerCase();
      const binding = { list: 'natsid.allowances', tenantId: own, filters: { tenantId, operatorId } };
      const request = readPage(ctx.secrets.cursorKey, query, binding);
      const [at, tenant, operator] = request.after ?? [];
      const rows = await selectAllowances(ctx.db)
        .select(sql<string>`w.updated_at::text`.as('position'))
        .$if(own !== undefined, (some) => some.where('w.tenant_id', '=', own ?? ''))
        .$if(tenantId !== undefined, (some) => some.where('w.tenant_id', '=', tenantId ?? ''))
        .$if(operatorId !== undefined, (some) => some.where('w.operator_id', '=', operatorId ?? ''))
        .$if(request.after !== undefined, (some) =>
          some.where(
            sql<boolean>`(w.updated_at, w.tenant_id, w.operator_id) < (${at}::timestamptz, ${tenant}::uuid, ${operator}::uuid)`,
          ),
        )
        .orderBy('w.updated_at', 'desc')
        .orderBy('w.tenant_id', 'desc')
        .orderBy('w.operator_id', 'desc')
        .limit(request.limit + 1)
        .execute();
      return page(ctx.secrets.cursorKey, rows, {
        ...request,
        binding,
        position: (row) => [row.position, row.tenant_id, row.operator_id],
        item: allowanceView,
      });
    },
});
