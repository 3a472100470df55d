import { sql } from 'kysely';
import type { NatsIdentityBase } from '../context.ts';
import type { PushTarget } from './push.ts';
import type { NamedCluster } from './sync-due.ts';

/**
 * What was deleted once came back with a server that had been away (nats-protocol, fact 3): the cluster is searched for
 * tombstones at once. One place deletes them and tells of it, whoever noticed.
 */
export async function redeleteReturned(
  ctx: NatsIdentityBase,
  { id }: NamedCluster,
  _target: PushTarget,
  returned: ReadonlyMap<string, { readonly accountId: string; readonly servers: readonly string[] }>,
): Promise<void> {
  if (returned.size === 0) return;
  await ctx.db.updateTable('cluster').set({ sweep_due_at: sql<Date>`now()` }).where('id', '=', id).execute();
}
