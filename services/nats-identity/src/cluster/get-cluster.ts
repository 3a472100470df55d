import { Uuid } from '@gatehouse/kit';
import Type from 'typebox';
import { showRevision } from '../change.ts';
import { route } from '../context.ts';
import { ClusterView, clusterView, readCluster } from './cluster-view.ts';

export const getCluster = route({
  method: 'GET',
  path: '/api/nats/clusters/:id',
  access: 'platform.read',
  summary: 'One cluster',
  params: Type.Object({ id: Uuid }),
  answer: ClusterView,
  problems: ['not_found'],
  run: (ctx) => async (call) => {
    const cluster = await readCluster(ctx, call.params.id);
    showRevision(call, Number(cluster.revision));
    return clusterView(ctx.db, cluster);
  },
});
