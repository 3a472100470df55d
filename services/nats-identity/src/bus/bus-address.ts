import { append } from '@gatehouse/kit';
import { sql } from 'kysely';
import { diffOf, platformActs } from '../change.ts';
import { serverAddresses } from '../cluster/server-address.ts';
import type { NatsIdentityContext } from '../context.ts';

/** The servers that NATS_URL names, as a cluster keeps them: without the login that it may hold. */
export function busAddresses(natsUrl: string): string[] {
  const bare = natsUrl.split(',').map((one) => {
    const url = new URL(one.includes('://') ? one.trim() : `nats://${one.trim()}`);
    return `${url.protocol}//${url.host}`;
  });
  return serverAddresses(bare);
}

/**
 * The bus may have moved since the last start: embedded it gets a port that is free. When the cluster does not know the
 * servers that this process uses itself, they take the place of those that it knows.
 */
export async function followBusAddress(ctx: NatsIdentityContext): Promise<void> {
  if (ctx.config.NATS_CREDS === undefined) return;
  const servers = busAddresses(ctx.config.NATS_URL);
  await ctx.db.transaction().execute(async (tx) => {
    const cluster = await tx
      .selectFrom('cluster')
      .select(['id', 'name', 'servers'])
      .where('own', '=', true)
      .forUpdate()
      .executeTakeFirst();
    if (cluster === undefined || servers.every((one) => cluster.servers.includes(one))) return;
    await tx
      .updateTable('cluster')
      .set({
        servers,
        revision: sql`revision + 1`,
        updated_at: sql`now()`,
        check_due_at: sql`now()`,
        full_sync_due_at: sql`now()`,
      })
      .where('id', '=', cluster.id)
      .execute();
    await append(tx, {
      type: 'natsid.cluster.changed',
      tenant_id: null,
      aggregate: `cluster:${cluster.id}`,
      traceparent: null,
      data: {
        ...platformActs.by,
        cluster_id: cluster.id,
        cluster: cluster.name,
        changes: diffOf({ servers: cluster.servers }, { servers }),
      },
    });
  });
  ctx.relay.poke();
}
