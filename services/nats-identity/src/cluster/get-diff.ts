import { Problem, Uuid } from '@gatehouse/kit';
import Type from 'typebox';
import { route } from '../context.ts';
import { readCluster } from './cluster-view.ts';
import { diffCluster } from './diff-cluster.ts';
import { readable } from './look-at-servers.ts';
import { ClusterUnreachable, NotPermitted } from './system-client.ts';

const names = (description: string) => Type.Array(Type.String(), { description });
const Entry = Type.Object({
  account_id: Type.String(),
  name: Type.String(),
  public_key: Type.String(),
  servers: names('As far as they say which.'),
  cause: Type.String(),
  issuer: Type.Union([Type.String(), Type.Null()], { description: 'Who signed the other JWT.' }),
});

export const getDiff = route({
  method: 'GET',
  path: '/api/nats/clusters/:id/diff',
  access: 'platform.read',
  summary: 'What servers hold otherwise than they should; changes nothing',
  description:
    'Every server is asked now. At most a thousand accounts of each kind are named; all are counted.',
  params: Type.Object({ id: Uuid }),
  answer: Type.Object({
    in_sync: Type.Boolean(),
    resolver: Type.String(),
    accounts: Type.Integer({ description: 'Accounts that were compared.' }),
    counts: Type.Object({
      equal: Type.Integer(),
      pending: Type.Integer(),
      missing: Type.Integer(),
      different: Type.Integer(),
      foreign: Type.Integer(),
      returned: Type.Integer(),
    }),
    missing: Type.Array(Entry),
    different: Type.Array(Entry),
    foreign: Type.Array(Type.Object({ public_key: Type.String(), servers: Type.Array(Type.String()) })),
    unreachable: names('Known servers that do not answer.'),
    untrusted: names('Servers that do not trust a key that accounts are signed with: restart them.'),
  }),
  problems: ['not_found', 'cluster_unreachable'],
  run:
    (ctx) =>
    async ({ params }) => {
      const cluster = await readCluster(ctx, params.id);
      try {
        const diff = await diffCluster(ctx, cluster);
        return {
          ...diff,
          missing: diff.missing.map((one) => ({ ...one, servers: [...one.servers] })),
          different: diff.different.map((one) => ({ ...one, servers: [...one.servers] })),
          foreign: diff.foreign.map((one) => ({ ...one, servers: [...one.servers] })),
          unreachable: [...diff.unreachable],
          untrusted: [...diff.untrusted],
        };
      } catch (error) {
        if (!(error instanceof ClusterUnreachable || error instanceof NotPermitted)) throw error;
        throw new Problem('cluster_unreachable', {
          detail: `The cluster cannot be asked: ${readable(error.message)}.`,
        });
      }
    },
});
