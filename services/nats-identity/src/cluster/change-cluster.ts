import { append, Uuid } from '@gatehouse/kit';
import type { ClusterTable } from '@gatehouse/schema';
import { type Selectable, sql } from 'kysely';
import Type, { type Static } from 'typebox';
import {
  actedBy,
  type ChangeCall,
  ChangeView,
  changeQuery,
  changeView,
  checkRevision,
  diffOf,
  inChange,
  reasonBody,
  showRevision,
} from '../change.ts';
import { type NatsIdentityContext, type NatsidTransaction, route } from '../context.ts';
import { ClusterCreds, ClusterDescription, ClusterName } from './cluster-body.ts';
import { type KeptCreds, keepCreds, ownCreds, requireSystemKey } from './cluster-creds.ts';
import { ClusterView, clusterView, lockCluster } from './cluster-view.ts';
import { ServerAddresses, serverAddresses } from './server-address.ts';

const Body = Type.Object(
  {
    name: Type.Optional(ClusterName),
    servers: Type.Optional(ServerAddresses),
    creds: Type.Optional(Type.Union([ClusterCreds, Type.Null()])),
    description: Type.Optional(ClusterDescription),
    ...reasonBody,
  },
  { minProperties: 1 },
);

export const changeCluster = route({
  method: 'PATCH',
  path: '/api/nats/clusters/:id',
  access: 'platform.manage',
  summary: 'Change a cluster’s name, addresses, creds or description',
  description: 'creds: null goes back to credentials made on the fly.',
  params: Type.Object({ id: Uuid }),
  query: Type.Object(changeQuery, { additionalProperties: false }),
  body: Body,
  answer: Type.Intersect([ClusterView, Type.Object({ change: ChangeView })]),
  problems: ['not_found', 'name_taken', 'invalid_creds', 'no_signing_key', 'precondition_failed'],
  run: (ctx) => async (call) => {
    const { body, params, query } = call;
    const servers = body.servers && serverAddresses(body.servers);
    const answer = await inChange(ctx, query, async (tx) => {
      const before = await lockCluster(tx, params.id);
      checkRevision(call, Number(before.revision));
      const after = await change(tx, ctx, before, { ...body, ...(servers && { servers }) });
      const changes = diffOf(shownOf(before), shownOf(after));
      if (body.creds !== undefined && before.secret_id !== null && after.secret_id !== null)
        changes.push({ path: 'creds', before: 'former', after: 'replaced' });
      if (changes.length > 0) await tellChanged(tx, call, after, changes);
      const moved = changes.some(({ path }) => !/^(?:name|description)/.test(path));
      const told = changeView(query, changes, { clusters: moved ? 1 : 0 });
      return { ...(await clusterView(tx, after)), change: told };
    });
    showRevision(call, answer.revision);
    return answer;
  },
});

const shownOf = ({ name, servers, description, secret_id }: Selectable<ClusterTable>) => ({
  name,
  servers,
  description,
  credentials: secret_id === null ? 'own' : 'given',
});

async function change(
  tx: NatsidTransaction,
  ctx: NatsIdentityContext,
  before: Selectable<ClusterTable>,
  wanted: Static<typeof Body>,
): Promise<Selectable<ClusterTable>> {
  const name = wanted.name ?? before.name;
  const servers = wanted.servers ?? before.servers;
  const description = wanted.description ?? before.description;
  const kept = wanted.creds === undefined ? before : await credsOf(tx, ctx, before, wanted.creds);
  const { secret_id, creds_expire_at } = kept;
  const moved = secret_id !== before.secret_id || servers.join() !== before.servers.join();
  if (!moved && name === before.name && description === before.description) return before;
  const after = await tx
    .updateTable('cluster')
    .set({
      name,
      servers,
      description,
      secret_id,
      creds_expire_at,
      revision: sql<number>`revision + 1`,
      updated_at: sql<Date>`now()`,
      // Other addresses may be other servers.
      ...(moved && { full_sync_due_at: sql<Date>`now()`, check_due_at: sql<Date>`now()` }),
    })
    .where('id', '=', before.id)
    .returningAll()
    .executeTakeFirstOrThrow();
  if (before.secret_id !== null && secret_id !== before.secret_id)
    await tx.deleteFrom('secret').where('id', '=', before.secret_id).execute();
  return after;
}

async function credsOf(
  tx: NatsidTransaction,
  ctx: NatsIdentityContext,
  cluster: Selectable<ClusterTable>,
  creds: string | null,
): Promise<KeptCreds> {
  const operator = await tx
    .selectFrom('operator')
    .select(['id', 'system_account_id'])
    .where('id', '=', cluster.operator_id)
    .executeTakeFirstOrThrow();
  if (creds !== null) return keepCreds(tx, ctx, operator, creds);
  await requireSystemKey(tx, operator);
  return ownCreds;
}

async function tellChanged(
  tx: NatsidTransaction,
  call: ChangeCall & { readonly body: Static<typeof Body> },
  cluster: Selectable<ClusterTable>,
  changes: ReturnType<typeof diffOf>,
): Promise<void> {
  await append(tx, {
    type: 'natsid.cluster.changed',
    tenant_id: null,
    aggregate: `cluster:${cluster.id}`,
    traceparent: call.trace.traceparent,
    data: { ...actedBy(call, call.body.reason), cluster_id: cluster.id, cluster: cluster.name, changes },
  });
}
