import { Time, Uuid } from '@gatehouse/kit';
import Type from 'typebox';
import { route } from '../context.ts';
import { ClusterView, healthOf, readCluster } from './cluster-view.ts';

const Server = Type.Object({
  name: Type.String(),
  id: Type.String(),
  version: Type.String(),
  state: Type.Enum(['in_sync', 'drifted', 'unreachable', 'operator_key_untrusted']),
  seen_at: Time,
  health: Type.Record(Type.String(), Type.Unknown(), {
    description: 'What it said of itself when last asked.',
  }),
});

export const getClusterHealth = route({
  method: 'GET',
  path: '/api/nats/clusters/:id/health',
  access: 'platform.read',
  summary: 'How a cluster and each of its servers is, and why',
  description: 'As the last look found it; NATS_HEALTH_INTERVAL_SECONDS says how often that is.',
  params: Type.Object({ id: Uuid }),
  answer: Type.Object({
    cluster_id: Type.String(),
    cluster: Type.String(),
    healthy: Type.Boolean(),
    checked_at: Type.Union([Time, Type.Null()]),
    ...ClusterView.properties.health.properties,
    servers: Type.Array(Server),
  }),
  problems: ['not_found'],
  run:
    (ctx) =>
    async ({ params }) => {
      const cluster = await readCluster(ctx, params.id);
      const servers = await ctx.db
        .selectFrom('cluster_server')
        .selectAll()
        .where('cluster_id', '=', cluster.id)
        .orderBy('server_name')
        .execute();
      return {
        cluster_id: cluster.id,
        cluster: cluster.name,
        healthy: cluster.healthy,
        checked_at: cluster.checked_at?.toISOString() ?? null,
        ...healthOf(cluster),
        servers: servers.map((server) => ({
          name: server.server_name,
          id: server.server_id,
          version: server.version,
          state: server.state,
          seen_at: server.seen_at.toISOString(),
          health: server.health,
        })),
      };
    },
});
