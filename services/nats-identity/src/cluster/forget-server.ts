import { append, Problem, Uuid } from '@gatehouse/kit';
import Type from 'typebox';
import { actedBy, ChangeView, changeQuery, changeView, inChange, reasonQuery } from '../change.ts';
import { route } from '../context.ts';
import { lockCluster } from './cluster-view.ts';

export const forgetServer = route({
  method: 'DELETE',
  path: '/api/nats/clusters/:id/servers/:name',
  access: 'platform.manage',
  summary: 'Forget a server that does not come back',
  description:
    'What was once seen in a cluster is waited for: a deletion is not done, and a new operator key does not sign, before it answers. A server that was taken out for good is forgotten here; should it answer again, it is known again.',
  params: Type.Object({ id: Uuid, name: Type.String({ minLength: 1, maxLength: 200 }) }),
  query: Type.Object({ ...changeQuery, ...reasonQuery }, { additionalProperties: false }),
  answer: Type.Object({ change: ChangeView }),
  problems: ['not_found'],
  run: (ctx) => (call) =>
    inChange(ctx, call.query, async (tx) => {
      const cluster = await lockCluster(tx, call.params.id);
      const gone = await tx
        .deleteFrom('cluster_server')
        .where('cluster_id', '=', cluster.id)
        .where('server_name', '=', call.params.name)
        .returning('server_name')
        .executeTakeFirst();
      if (gone === undefined) throw new Problem('not_found');
      const changes = [{ path: 'servers_known', before: gone.server_name, after: null }];
      await append(tx, {
        type: 'natsid.cluster.changed',
        tenant_id: null,
        aggregate: `cluster:${cluster.id}`,
        traceparent: call.trace.traceparent,
        data: { ...actedBy(call, call.query.reason), cluster_id: cluster.id, cluster: cluster.name, changes },
      });
      return { change: changeView(call.query, changes, { clusters: 1 }) };
    }),
});
