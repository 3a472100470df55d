import { append, newId } from '@gatehouse/kit';
import type { AuditDatabase } from '@gatehouse/schema';
import type { Kysely, Transaction } from 'kysely';
import { type KeptCheckpoint, newestKept } from './checkpoint-file.ts';
import type { CheckpointContext } from './context.ts';

type Cause = 'rolled_back' | 'forked';

/**
 * Whether the newest checkpoint of the file is one of our log. A database that was brought back to an earlier state, or
 * one whose log was written anew, does not have it. What is found is kept (so that every instance stops signing), told
 * once, and stays until somebody acknowledges it.
 */
export async function lookForRollback(ctx: CheckpointContext): Promise<void> {
  const { AUDIT_CHECKPOINT_FILE: file } = ctx.config;
  const kept = file === undefined ? undefined : await readKept(ctx, file);
  if (kept === undefined) return;
  const fault = await ctx.db.transaction().execute((tx) => faultIn(tx, kept));
  if (fault === undefined) return;
  ctx.relay.poke();
  ctx.log.error(fault, 'the audit trail is not the one that its checkpoint vouches for');
}

async function readKept(ctx: CheckpointContext, file: string): Promise<KeptCheckpoint | undefined> {
  try {
    return await newestKept(file, ctx.checkpointKey);
  } catch (err) {
    ctx.metrics.auditCheckpointFailures.inc({ sink: 'file' });
    ctx.log.debug({ err }, 'AUDIT_CHECKPOINT_FILE cannot be read');
    return undefined;
  }
}

async function faultIn(tx: Transaction<AuditDatabase>, { note, checkpoint }: KeptCheckpoint) {
  const cause = await causeOf(tx, checkpoint);
  if (cause === undefined) return undefined;
  const newest = await tx.selectFrom('checkpoint').select('size').orderBy('size', 'desc').executeTakeFirst();
  const detail =
    `the checkpoint of ${new Date(checkpoint.time * 1000).toISOString()} has ${checkpoint.size} entries ` +
    `with root ${checkpoint.root.toString('base64')}; this log has ${newest?.size ?? 0}`;
  const { numInsertedOrUpdatedRows: inserted } = await tx
    .insertInto('fault')
    .values({ id: newId(), cause, detail, note })
    .onConflict((conflict) => conflict.column('note').doNothing())
    .executeTakeFirstOrThrow();
  // Known: told of before, and perhaps acknowledged.
  if (inserted !== 1n) return undefined;
  await append(tx, {
    type: 'audit.chain.fault',
    tenant_id: null,
    aggregate: 'audit:checkpoint',
    traceparent: null,
    data: { cause, detail },
  });
  return { cause, detail };
}

async function causeOf(
  tx: Transaction<AuditDatabase>,
  { size, root }: KeptCheckpoint['checkpoint'],
): Promise<Cause | undefined> {
  const ours = await tx
    .selectFrom('checkpoint')
    .select(['size', 'root'])
    .where('size', '>=', size)
    .orderBy('size')
    .limit(1)
    .executeTakeFirst();
  if (ours === undefined) return 'rolled_back';
  return ours.size === size && ours.root.equals(root) ? undefined : 'forked';
}

/** Faults that nobody has acknowledged. */
export async function openFaults(db: Kysely<AuditDatabase>): Promise<number> {
  const { count } = await db
    .selectFrom('fault')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('acknowledged_at', 'is', null)
    .executeTakeFirstOrThrow();
  return count;
}
