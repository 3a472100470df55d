import { page, pageOf, pageQuery, readPage, Uuid } from '@gatehouse/kit';
import { sql } from 'kysely';
import Type from 'typebox';
import { route } from '../context.ts';
import { ClusterView, clusterViews } from './cluster-view.ts';

export const listClusters = route({
  method: 'GET',
  path: '/api/nats/clusters',
  access: 'platform.read',
  summary: 'Clusters, newest first',
  query: Type.Object(
    {
      ...pageQuery,
      operator_id: Type.Optional(Uuid),
      q: Type.Optional(Type.String({ maxLength: 128, description: 'Part of the name.' })),
    },
    { additionalProperties: false },
  ),
  answer: pageOf(ClusterView),
  problems: ['bad_cursor'],
  run:
    (ctx) =>
    async ({ query }) => {
      const operatorId = query.operator_id?.toLowerCase();
      const q = query.q?.trim().toLowerCase() || undefined;
      const binding = { list: 'natsid.clusters', tenantId: undefined, filters: { operatorId, q } };
      const request = readPage(ctx.secrets.cursorKey, query, binding);
      const rows = await ctx.db
        .selectFrom('cluster')
        .selectAll()
        .select(sql<string>`created_at::text`.as('position'))
        .$if(operatorId !== undefined, (some) => some.where('operator_id', '=', operatorId ?? ''))
        .$if(q !== undefined, (some) => some.where(sql<boolean>`strpos(lower(name), ${q}) > 0`))
        .$if(request.after !== undefined, (some) =>
          some.where(
            sql<boolean>`(created_at, id) < (${request.after?.[0]}::timestamptz, ${request.after?.[1]}::uuid)`,
          ),
        )
        .orderBy('created_at', 'desc')
        .orderBy('id', 'desc')
        .limit(request.limit + 1)
        .execute();
      const views = new Map((await clusterViews(ctx.db, rows)).map((view) => [view.id, view]));
      return page(ctx.secrets.cursorKey, rows, {
        ...request,
        binding,
        position: (row) => [row.position, row.id],
        item: (row) => views.get(row.id) as ClusterView,
      });
    },
});
