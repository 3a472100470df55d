import { ClusterUnreachable, openSystemClient, type SystemClient } from '../cluster/system-client.ts';
import type { ClusterServer } from '../cluster/system-client-servers.ts';
import type { NatsIdentityContext } from '../context.ts';

/** A cluster that something is to be done on: as it answers now. */
export interface ReachedCluster {
  readonly id: string;
  readonly name: string;
  readonly client: SystemClient | undefined;
  readonly servers: readonly ClusterServer[];
  /** Why not every known server of it can be asked; undefined: all can. */
  readonly fault: string | undefined;
}

/**
 * Connects to every cluster of an operator, and looks whether all servers that were ever seen there answer. Never throws
 * for a cluster that is away: `fault` says so.
 */
export async function openClusters(ctx: NatsIdentityContext, operatorId: string): Promise<ReachedCluster[]> {
  const clusters = await ctx.db
    .selectFrom('cluster')
    .select(['id', 'name'])
    .where('operator_id', '=', operatorId)
    .orderBy('id')
    .execute();
  return Promise.all(clusters.map((cluster) => openCluster(ctx, cluster)));
}

/** Ends the connections. */
export async function closeClusters(reached: readonly ReachedCluster[]): Promise<void> {
  await Promise.all(reached.map(({ client }) => client?.close()));
}

async function openCluster(
  ctx: NatsIdentityContext,
  cluster: { readonly id: string; readonly name: string },
): Promise<ReachedCluster> {
  let client: SystemClient | undefined;
  try {
    client = await openSystemClient(ctx, cluster.id, 'purge');
    const known = await ctx.db
      .selectFrom('cluster_server')
      .select(['server_name', 'server_id'])
      .where('cluster_id', '=', cluster.id)
      .execute();
    const servers = await client.servers(known.map(({ server_id }) => server_id));
    const missing = known.filter(({ server_name }) => !servers.some(({ name }) => name === server_name));
    const fault =
      missing.length > 0
        ? `server ${missing.map(({ server_name }) => server_name).join(', ')} of cluster ${cluster.name} does not answer`
        : undefined;
    return { ...cluster, client, servers, fault };
  } catch (error) {
    if (!(error instanceof ClusterUnreachable)) throw error;
    await client?.close();
    return {
      ...cluster,
      client: undefined,
      servers: [],
      fault: `cluster ${cluster.name} cannot be reached: ${error.message}`,
    };
  }
}
