import { append, newId, Problem, Uuid } from '@gatehouse/kit';
import type { ClusterTable } from '@gatehouse/schema';
import { type Selectable, sql } from 'kysely';
import Type, { type Static } from 'typebox';
import {
  actedBy,
  type ChangeCall,
  ChangeView,
  changeQuery,
  changeView,
  inChange,
  reasonBody,
  showRevision,
} from '../change.ts';
import { type NatsIdentityContext, type NatsidTransaction, route } from '../context.ts';
import { ClusterCreds, ClusterDescription, ClusterName } from './cluster-body.ts';
import { keepCreds, ownCreds, requireSystemKey } from './cluster-creds.ts';
import { ClusterView, clusterView } from './cluster-view.ts';
import { ServerAddresses, serverAddresses } from './server-address.ts';

const Body = Type.Object({
  name: ClusterName,
  operator_id: Uuid,
  servers: ServerAddresses,
  creds: Type.Optional(ClusterCreds),
  description: Type.Optional(ClusterDescription),
  ...reasonBody,
});

export const createCluster = route({
  method: 'POST',
  path: '/api/nats/clusters',
  access: 'platform.manage',
  summary: 'Register a cluster',
  description:
    'Every account of the operator is brought to it at once. Servers are found through the ones named here; those that nobody names are found too.',
  status: 201,
  body: Body,
  query: Type.Object(changeQuery, { additionalProperties: false }),
  answer: Type.Intersect([ClusterView, Type.Object({ change: ChangeView })]),
  problems: ['name_taken', 'invalid_creds', 'no_signing_key', 'not_found'],
  run: (ctx) => async (call) => {
    const { body, query } = call;
    const servers = serverAddresses(body.servers);
    const answer = await inChange(ctx, query, async (tx) => {
      const { cluster, accounts } = await createClusterIn(tx, ctx, { ...body, servers });
      await tellCreated(tx, call, cluster, body.reason);
      const change = changeView(query, [], { accounts, clusters: 1 });
      return { ...(await clusterView(tx, cluster)), change };
    });
    showRevision(call, answer.revision);
    return answer;
  },
});

/** A cluster to be; `servers` are checked already. */
export interface NewCluster
  extends Pick<Static<typeof Body>, 'name' | 'operator_id' | 'creds' | 'description'> {
  readonly servers: readonly string[];
  /** The platform's own bus. */
  readonly own?: boolean;
}

/**
 * Registers a cluster, and wants every account of its operator on it.
 * @throws Problem `not_found`, `invalid_creds`, `no_signing_key`
 */
export async function createClusterIn(
  tx: NatsidTransaction,
  ctx: NatsIdentityContext,
  { name, operator_id, servers, creds, description, own }: NewCluster,
): Promise<{ readonly cluster: Selectable<ClusterTable>; readonly accounts: number }> {
  const operator = await tx
    .selectFrom('operator')
    .select(['id', 'system_account_id'])
    .where('id', '=', operator_id.toLowerCase())
    // Accounts made meanwhile wait for this, and then find the cluster; its deletion too.
    .forUpdate()
    .executeTakeFirst();
  if (operator === undefined) throw new Problem('not_found');
  if (creds === undefined) await requireSystemKey(tx, operator);
  const kept = creds === undefined ? ownCreds : await keepCreds(tx, ctx, operator, creds);
  const cluster = await tx
    .insertInto('cluster')
    .values({
      id: newId(),
      operator_id: operator.id,
      name,
      servers: [...servers],
      ...kept,
      description: description ?? '',
      own: own ?? false,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  return { cluster, accounts: await wantEverything(tx, cluster) };
}

// Also what is locked or losing its streams: on these servers it may still be open. What is being deleted is asked for
// by the deletion itself.
async function wantEverything(tx: NatsidTransaction, cluster: Selectable<ClusterTable>): Promise<number> {
  const { numAffectedRows } = await sql`
    insert into account_sync (cluster_id, account_id)
    select ${cluster.id}, a.id from account a
    where a.operator_id = ${cluster.operator_id} and a.state in ('active', 'locked', 'purging')
    on conflict (cluster_id, account_id) do nothing`.execute(tx);
  return Number(numAffectedRows ?? 0);
}

async function tellCreated(
  tx: NatsidTransaction,
  call: ChangeCall,
  cluster: Selectable<ClusterTable>,
  reason: string | undefined,
): Promise<void> {
  await append(tx, {
    type: 'natsid.cluster.created',
    tenant_id: null,
    aggregate: `cluster:${cluster.id}`,
    traceparent: call.trace.traceparent,
    data: {
      ...actedBy(call, reason),
      cluster_id: cluster.id,
      cluster: cluster.name,
      operator_id: cluster.operator_id,
    },
  });
}
