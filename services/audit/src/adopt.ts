import type { AuditDatabase } from '@gatehouse/schema';
import { sql, type Transaction } from 'kysely';
import { appendRows } from './append-rows.ts';
import type { AuditContext } from './context.ts';
import { hashed, PLATFORM_CHAIN, type TrailRow } from './trail-row.ts';

const BATCH = 500;

/** A row as the trail had it before its chains. */
interface UnchainedRow {
  readonly id: string;
  readonly occurred_at: Date;
  readonly type: string;
  readonly severity: string;
  readonly outcome: string | null;
  readonly source: string;
  readonly tenant_id: string | null;
  readonly user_id: string | null;
  readonly actor: string | null;
  readonly subject: string | null;
  readonly trace_id: string | null;
  readonly data: Readonly<Record<string, unknown>>;
}

type Position = Pick<UnchainedRow, 'occurred_at' | 'id'>;

/**
 * Puts what was recorded before the chains into them, oldest first, beside what is recorded meanwhile. A batch is one
 * transaction: its rows are in the chains and no longer where they were, or the other way round, whoever is killed when.
 * The last takes the old table away. Without one there is nothing to do.
 */
export async function adoptUnchained({ db, log }: Pick<AuditContext, 'db' | 'log'>): Promise<void> {
  let adopted = 0;
  let after: Position | undefined;
  for (;;) {
    const batch = await db.transaction().execute((tx) => adoptBatch(tx, after));
    if (batch === undefined) return;
    adopted += batch.length;
    after = batch.at(-1);
    if (batch.length === BATCH) continue;
    const { rows } = await sql<{ gone: boolean }>`select audit.drop_unchained() as gone`.execute(db);
    log.info({ events: adopted, complete: rows[0]?.gone === true }, 'audit trail of before taken over');
    return;
  }
}

async function adoptBatch(
  tx: Transaction<AuditDatabase>,
  after: Position | undefined,
): Promise<readonly UnchainedRow[] | undefined> {
  // The job's lock is of another connection, which may be lost: this one is what keeps a second adopter out.
  await sql`select pg_advisory_xact_lock(hashtextextended('gatehouse audit.adopt', 0))`.execute(tx);
  const { rows: there } = await sql`
    select 1 where to_regclass('audit.event_unchained') is not null`.execute(tx);
  if (there.length === 0) return undefined;
  const { rows } = await sql<UnchainedRow>`
    select id, occurred_at, type, severity, outcome, source, tenant_id, user_id, actor, subject, trace_id, data
    from audit.event_unchained
    where ${after?.occurred_at ?? null}::timestamptz is null
      or (occurred_at, id) > (${after?.occurred_at ?? null}::timestamptz, ${after?.id ?? null}::uuid)
    order by occurred_at, id limit ${BATCH}`.execute(tx);
  await appendRows(tx, rows.map(chained));
  await sql`select audit.adopted(${rows.map(({ id }) => id)}::uuid[])`.execute(tx);
  return rows;
}

const chained = (row: UnchainedRow): TrailRow =>
  hashed({
    chain: row.tenant_id ?? PLATFORM_CHAIN,
    id: row.id,
    occurredAt: row.occurred_at,
    type: row.type,
    severity: row.severity,
    outcome: row.outcome,
    source: row.source,
    tenantId: row.tenant_id,
    userId: row.user_id,
    actor: row.actor,
    subject: row.subject,
    traceId: row.trace_id,
    data: row.data,
  });
