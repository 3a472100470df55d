import { append, Problem, Uuid } from '@gatehouse/kit';
import Type from 'typebox';
import {
  actedBy,
  ChangeView,
  changeQuery,
  changeView,
  checkRevision,
  inChange,
  reasonQuery,
} from '../change.ts';
import { route } from '../context.ts';
import { lockCluster } from './cluster-view.ts';

export const deleteCluster = route({
  method: 'DELETE',
  path: '/api/nats/clusters/:id',
  access: 'platform.manage',
  summary: 'Forget a cluster',
  description:
    'Nothing is deleted on its servers: they go on with what they hold. Accounts that are being deleted no longer wait for it. The platform’s own bus cannot be forgotten.',
  params: Type.Object({ id: Uuid }),
  query: Type.Object({ ...changeQuery, ...reasonQuery }, { additionalProperties: false }),
  answer: Type.Object({ change: ChangeView }),
  problems: ['not_found', 'conflict', 'precondition_failed'],
  run: (ctx) => (call) =>
    inChange(ctx, call.query, async (tx) => {
      const cluster = await lockCluster(tx, call.params.id);
      checkRevision(call, Number(cluster.revision));
      if (cluster.own)
        throw new Problem('conflict', { detail: 'It is the platform’s own bus: it cannot be forgotten.' });
      await tx.deleteFrom('cluster').where('id', '=', cluster.id).execute();
      if (cluster.secret_id !== null)
        await tx.deleteFrom('secret').where('id', '=', cluster.secret_id).execute();
      await append(tx, {
        type: 'natsid.cluster.deleted',
        tenant_id: null,
        aggregate: `cluster:${cluster.id}`,
        traceparent: call.trace.traceparent,
        data: { ...actedBy(call, call.query.reason), cluster_id: cluster.id, cluster: cluster.name },
      });
      return { change: changeView(call.query, [], { clusters: 1 }) };
    }),
});
