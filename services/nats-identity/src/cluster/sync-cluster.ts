import { sql } from 'kysely';
import type { NatsIdentityContext } from '../context.ts';
import type { SyncReport } from './sync-look.ts';

export type { SyncReport } from './sync-look.ts';

/** Longer than a look at ten thousand accounts takes, shorter than clients wait. */
const WAIT_MS = 10_000;
const POLL_MS = 100;

/**
 * Asks for a full look at a cluster now, from whichever process serves it, and waits for its report; undefined: it is
 * still under way, or no process can reach the cluster.
 */
export async function syncCluster(
  ctx: Pick<NatsIdentityContext, 'db' | 'reconciler'>,
  clusterId: string,
  { waitMs = WAIT_MS }: { readonly waitMs?: number } = {},
): Promise<SyncReport | undefined> {
  const { rows } = await sql<{ asked: Date }>`
    update cluster set full_sync_due_at = now() where id = ${clusterId} returning now() as asked`.execute(
    ctx.db,
  );
  const asked = rows[0]?.asked;
  if (asked === undefined) return undefined;
  ctx.reconciler.poke();
  const until = performance.now() + waitMs;
  for (;;) {
    const found = await ctx.db
      .selectFrom('cluster')
      .select('sync_report')
      .where('id', '=', clusterId)
      .executeTakeFirst();
    const report = found?.sync_report as Partial<SyncReport> | undefined;
    // One that began before the question may have passed what the question is about.
    if (report?.started_at !== undefined && new Date(report.started_at) >= asked) return report as SyncReport;
    if (found === undefined || performance.now() > until) return undefined;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
