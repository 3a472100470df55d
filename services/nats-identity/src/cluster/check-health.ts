import { type AnyNewEvent, appendMany, EVENT_LANE } from '@gatehouse/kit';
import type { ClusterTable, JsonObject } from '@gatehouse/schema';
import { type Selectable, sql } from 'kysely';
import type { NatsIdentityContext, NatsIdentityJob, NatsidTransaction } from '../context.ts';
import { namedIn } from '../operator/retire-keys.ts';
import { type ExpectedCluster, judgeCluster, type Verdict } from './health-causes.ts';
import { lookAtServers, readable, type ServerFacts } from './look-at-servers.ts';
import { activateKeys } from './operator-key-gate.ts';
import { recordServers } from './record-servers.ts';
import { ClusterUnreachable, openSystemClient } from './system-client.ts';

/** Clusters looked at at once by one process: one that is dead holds up one of these, for seconds. */
const AT_ONCE = 8;
/** Longer than any look takes; after that another process may look. */
const CLAIM_SECONDS = 45;

type Cluster = Selectable<ClusterTable>;

/** Looks at every cluster that is due, whichever process gets to it first. */
export const checkHealth: NatsIdentityJob = {
  name: 'nats-cluster-health',
  everySeconds: 1,
  instances: 'each',
  run: async (ctx) => {
    await activateKeys(ctx);
    await checkWhatIsDue(ctx, AT_ONCE);
  },
};

/** One cluster after the other, and others beside it while there are any; when nothing is due that costs one question. */
async function checkWhatIsDue(ctx: NatsIdentityContext, atOnce: number): Promise<void> {
  for (;;) {
    const due = await ctx.db
      .updateTable('cluster')
      .set({ check_due_at: sql<Date>`now() + make_interval(secs => ${CLAIM_SECONDS})` })
      .where('id', '=', (some) =>
        some
          .selectFrom('cluster')
          .select('id')
          .where('check_due_at', '<=', sql<Date>`now()`)
          .orderBy('check_due_at')
          .limit(1)
          .forUpdate()
          .skipLocked(),
      )
      .returningAll()
      .executeTakeFirst();
    if (due === undefined) return;
    const beside = atOnce > 1 ? checkWhatIsDue(ctx, atOnce - 1) : undefined;
    await Promise.all([checkCluster(ctx, due), beside]);
  }
}

/** What a look at a cluster brought: what its servers said, or why nobody let us in. */
type Look = { readonly servers: readonly ServerFacts[]; readonly refusal?: string };

/** Asks the servers of a cluster how they are and records it. */
export async function checkCluster(ctx: NatsIdentityContext, cluster: Cluster): Promise<void> {
  const known = await ctx.db
    .selectFrom('cluster_server')
    .select(['server_name', 'server_id'])
    .where('cluster_id', '=', cluster.id)
    .execute();
  const look = await lookAt(ctx, cluster.id, known);
  const returned = await ctx.db.transaction().execute((tx) => record(tx, ctx, cluster.id, look));
  await activateKeys(ctx);
  ctx.relay.poke(EVENT_LANE);
  if (returned) ctx.reconciler.poke();
}

async function lookAt(
  ctx: NatsIdentityContext,
  clusterId: string,
  known: Parameters<typeof lookAtServers>[1],
): Promise<Look> {
  try {
    const client = await openSystemClient(ctx, clusterId);
    try {
      return { servers: await lookAtServers(client, known) };
    } finally {
      await client.close();
    }
  } catch (error) {
    if (!(error instanceof ClusterUnreachable)) {
      ctx.log.warn({ err: error, cluster: clusterId }, 'nats cluster could not be looked at');
      return { servers: [], refusal: 'it could not be looked at: the log of nats-identity says why' };
    }
    return { servers: [], refusal: `no server lets us in: ${readable(error.message)}` };
  }
}

/** Writes down what a look brought; says whether servers are there that were not before. */
async function record(
  tx: NatsidTransaction,
  ctx: NatsIdentityContext,
  clusterId: string,
  { servers, refusal }: Look,
): Promise<boolean> {
  const cluster = await tx
    .selectFrom('cluster')
    .selectAll()
    .where('id', '=', clusterId)
    .forUpdate()
    .executeTakeFirst();
  // Forgotten meanwhile.
  if (cluster === undefined) return false;
  const expected = await expectedOf(tx, cluster);
  const verdict = judgeCluster(servers, expected);
  if (refusal !== undefined) verdict.causes.unshift(refusal);
  else if (servers.length === 0) verdict.causes.unshift('no server answers on the system account');
  const { returned, known } = await recordServers(tx, cluster.id, servers);
  const healthy = verdict.causes.length === 0;
  const health: JsonObject = {
    ...verdict,
    servers_known: known,
    servers_answering: new Set(servers.map(({ name }) => name)).size,
  };
  await tx
    .updateTable('cluster')
    .set({
      health,
      healthy,
      checked_at: sql<Date>`now()`,
      check_due_at: sql<Date>`now() + make_interval(secs => ${ctx.config.NATS_HEALTH_INTERVAL_SECONDS})`,
      // Whoever was away may hold what is old, or bring back what was deleted.
      ...(returned && { full_sync_due_at: sql<Date>`now()`, sweep_due_at: sql<Date>`now()` }),
    })
    .where('id', '=', cluster.id)
    .execute();
  await appendMany(tx, transitionOf(cluster, verdict));
  return returned;
}

/** Told once when it falls ill and once when it is well again, not at every look. */
function transitionOf(cluster: Cluster, { causes }: Verdict): AnyNewEvent[] {
  const about = { tenant_id: null, aggregate: `cluster:${cluster.id}`, traceparent: null };
  const data = { cluster_id: cluster.id, cluster: cluster.name };
  const healthy = causes.length === 0;
  const first = cluster.checked_at === null;
  if (!healthy && (cluster.healthy || first))
    return [{ ...about, type: 'natsid.cluster.unhealthy', data: { ...data, causes } }];
  if (healthy && !cluster.healthy && !first) return [{ ...about, type: 'natsid.cluster.recovered', data }];
  return [];
}

async function expectedOf(tx: NatsidTransaction, cluster: Cluster): Promise<ExpectedCluster> {
  const operator = await tx
    .selectFrom('operator')
    .leftJoin('account', 'account.id', 'operator.system_account_id')
    .select(['operator.name', 'operator.public_key', 'operator.jwt', 'operator.jwt_iat'])
    .select('account.public_key as system')
    .where('operator.id', '=', cluster.operator_id)
    .executeTakeFirstOrThrow();
  // Of an offline root key, what is not in the JWT yet cannot be expected of a server.
  const keys = await tx
    .selectFrom('operator_key')
    .select('public_key')
    .where('operator_id', '=', cluster.operator_id)
    .where('state', 'in', ['active', 'pending'])
    .where('public_key', 'in', ['', ...namedIn(operator.jwt)])
    .orderBy('created_at')
    .execute();
  const known = await tx
    .selectFrom('cluster_server')
    .select(['server_name', 'server_id', 'health'])
    .where('cluster_id', '=', cluster.id)
    .execute();
  return {
    operator: {
      name: operator.name,
      publicKey: operator.public_key,
      jwtIat: Number(operator.jwt_iat),
      keys: keys.map(({ public_key }) => public_key),
    },
    systemAccount: operator.system ?? undefined,
    resolver: cluster.resolver,
    credsExpireAt: cluster.creds_expire_at,
    known: known.map(({ server_name, server_id, health }) => ({
      name: server_name,
      id: server_id,
      slowConsumers: Number(health.slow_consumers ?? 0),
    })),
  };
}
