import { Problem, Time, Uuid } from '@gatehouse/kit';
import Type from 'typebox';
import { route } from '../context.ts';
import { readCluster } from './cluster-view.ts';
import { syncCluster } from './sync-cluster.ts';

const Report = Type.Object({
  started_at: Time,
  finished_at: Time,
  accounts: Type.Integer({ description: 'Accounts that the servers shall have.' }),
  pushed: Type.Integer({ description: 'Sent to servers since the look began.' }),
  proven: Type.Integer({ description: 'Read back from every server.' }),
  failed: Type.Integer(),
  drifted: Type.Integer({ description: 'Found missing, or to be another one than wanted.' }),
  foreign: Type.Integer({ description: 'On servers, and nobody’s here.' }),
  returned: Type.Integer({ description: 'Deleted accounts that had come back.' }),
});

export const syncNow = route({
  method: 'POST',
  path: '/api/nats/clusters/:id/sync',
  access: 'platform.manage',
  summary: 'Compare every server with what it should hold, now, and bring it there',
  description:
    'Answers when all is proven, or after some seconds with finished: false; then the look goes on, and the cluster shows what came of it.',
  params: Type.Object({ id: Uuid }),
  answer: Type.Object({
    in_sync: Type.Boolean({ description: 'Every account is proven on every known server.' }),
    finished: Type.Boolean(),
    unreachable: Type.Array(Type.String(), { description: 'Known servers that do not answer.' }),
    report: Type.Union([Report, Type.Null()]),
  }),
  problems: ['not_found', 'cluster_unreachable'],
  run:
    (ctx) =>
    async ({ params }) => {
      const { id } = await readCluster(ctx, params.id);
      const report = await syncCluster(ctx, id);
      const servers = await ctx.db
        .selectFrom('cluster_server')
        .select(['server_name', 'state'])
        .where('cluster_id', '=', id)
        .orderBy('server_name')
        .execute();
      const silent = servers.filter(({ state }) => state === 'unreachable');
      if (report === undefined && silent.length === servers.length) throw new Problem('cluster_unreachable');
      return {
        in_sync:
          report !== undefined &&
          report.failed === 0 &&
          report.proven >= report.accounts &&
          silent.length === 0,
        finished: report !== undefined,
        unreachable: silent.map(({ server_name }) => server_name),
        report: report ?? null,
      };
    },
});
