import { append } from '@gatehouse/kit';
import { sql } from 'kysely';
import type { AuditContext } from './context.ts';

/**
 * Drops whole months that are older than AUDIT_RETENTION_MONTHS, and tells which in the same transaction. Each chain
 * keeps the place and the hash of its last dropped record, and verifies on from there. While somebody reads the trail
 * the month waits for the next run.
 */
export async function dropOldMonths({
  db,
  config,
  relay,
  log,
}: Pick<AuditContext, 'db' | 'config' | 'relay' | 'log'>): Promise<void> {
  const kept = config.AUDIT_RETENTION_MONTHS;
  if (kept === 0) return;
  const months = await db.transaction().execute(async (tx) => {
    const { rows } = await sql<{ partition: string }>`
      select audit.drop_before(
        (date_trunc('month', now() at time zone 'UTC') - make_interval(months => ${kept}::int))::date) as partition`.execute(
      tx,
    );
    const dropped = rows.map(({ partition }) => monthOf(partition));
    if (dropped.length === 0) return dropped;
    await append(tx, {
      type: 'audit.retention.dropped',
      tenant_id: null,
      aggregate: 'audit:retention',
      traceparent: null,
      data: { months: dropped },
    });
    return dropped;
  });
  if (months.length === 0) return;
  relay.poke();
  log.info({ months }, 'audit months dropped');
}

/** `event_202601` is `2026-01`. */
const monthOf = (partition: string): string => `${partition.slice(-6, -2)}-${partition.slice(-2)}`;
