import { Problem, readCursor, signCursor } from '@gatehouse/kit';
import { sql } from 'kysely';
import { signNext } from './checkpoint-sign.ts';
import type { AuditContext } from './context.ts';
import type { ExportFilters } from './export-query.ts';
import { openFaults } from './rollback.ts';

type SnapshotContext = Pick<AuditContext, 'db' | 'relay' | 'checkpointKey' | 'log' | 'secrets'>;

/**
 * What an export ends with, however long it takes: everything that was committed when it began, nothing later. All
 * chains' heads under one number, that of the entries in the log of heads, because an export begins with a checkpoint.
 */
export interface Snapshot {
  /** Entries of the log of heads that count. */
  readonly size: number;
  /** When it began, by the database's clock: no later than what it ends with. */
  readonly beganAt: Date;
  /** Chains that were beyond that log all the same: what nothing is signed for (yet). */
  readonly tails: Readonly<Record<string, number>>;
}

/** More than this in a cursor would not fit into a header. */
const TAILS_MAX = 20;
const SIGNING_TRIES = 5;
const SIGNING_RETRY_MS = 50;

/** Signs what is new, if that may be, and says where the trail ends now: of one tenant, or of all. */
export async function takeSnapshot(ctx: SnapshotContext, tenantId: string | undefined): Promise<Snapshot> {
  const began = await sql<{ now: Date }>`select clock_timestamp() as now`.execute(ctx.db);
  await trySigning(ctx);
  // One statement: a state that was committed as a whole.
  const { rows } = await sql<{ size: number; chain: string | null; sequence: number | null }>`
    select k.size, c.chain, c.sequence
    from (select coalesce(max(size), 0)::bigint as size from checkpoint) k left join chain c on
      c.sequence > coalesce((
        select h.sequence from head h where h.chain = c.chain and h.index < k.size order by h.sequence desc limit 1), 0)`.execute(
    ctx.db,
  );
  const tails: Record<string, number> = {};
  for (const { chain, sequence } of rows) {
    // They go into the cursor, which its owner can read: no tenant learns of another.
    const isMeant = tenantId === undefined || chain === tenantId;
    if (isMeant && chain !== null && sequence !== null) tails[chain] = sequence;
  }
  return { size: rows[0]?.size ?? 0, tails, beganAt: began.rows[0]?.now ?? new Date() };
}

// On a fork nothing is signed; the export shows it all the same, and what is wrong with it.
async function trySigning(ctx: SnapshotContext): Promise<void> {
  try {
    if ((await openFaults(ctx.db)) > 0) return;
    for (let tries = 1; tries <= SIGNING_TRIES; tries += 1) {
      if ((await signNext(ctx)) !== 'busy') return;
      await new Promise((resolve) => setTimeout(resolve, SIGNING_RETRY_MS));
    }
  } catch (err) {
    ctx.log.warn({ err }, 'an export began without a checkpoint of its own');
  }
}

const bindingOf = (filters: ExportFilters) => ({
  list: 'audit.export',
  tenantId: filters.tenantId,
  filters: { ...filters },
});

/** The cursor to go on with; undefined when too much is unsigned for one. */
export function snapshotCursor(
  ctx: SnapshotContext,
  snapshot: Snapshot,
  filters: ExportFilters,
): string | undefined {
  const tails = Object.entries(snapshot.tails);
  if (tails.length > TAILS_MAX) return undefined;
  return signCursor(ctx.secrets.cursorKey, [snapshot.size, ...tails.flat()], bindingOf(filters));
}

/** Reads it back. @throws Problem `bad_cursor` */
export function readSnapshot(ctx: SnapshotContext, cursor: string, filters: ExportFilters): Snapshot {
  const position = readCursor(ctx.secrets.cursorKey, cursor, bindingOf(filters));
  if (position === undefined) throw new Problem('bad_cursor');
  const [size, ...flat] = position;
  const tails: Record<string, number> = {};
  for (let at = 0; at + 1 < flat.length; at += 2) tails[String(flat[at])] = Number(flat[at + 1]);
  // Only what begins an export says when it began.
  return { size: Number(size), tails, beganAt: new Date() };
}
