import type { AuditDatabase } from '@gatehouse/schema';
import { sql, type Transaction } from 'kysely';
import type { AuditContext } from './context.ts';

/** Months made before they begin: the job may fail for a month before the default partition is needed. */
const MONTHS_AHEAD = 2;

/** Outside these years everything goes to the default partition. */
const YEAR_MIN = 2000;
const YEAR_MAX = 2199;

/** The months whose partition this process knows to be there, as `2026-01`. */
export type KnownMonths = Set<string>;

/** Makes the partitions of this month and the next ones; again does nothing. */
export async function makeMonthsAhead({ db, log }: Pick<AuditContext, 'db' | 'log'>): Promise<void> {
  const { rows } = await sql<{ month: string; said: string }>`
    select to_char(month, 'YYYY-MM') as month, audit.ensure_partition(month) as said
    from generate_series(0, ${MONTHS_AHEAD}::int) as n,
      lateral (select (date_trunc('month', now() at time zone 'UTC') + make_interval(months => n))::date) as m(month)
    order by 1`.execute(db);
  for (const { month, said } of rows) {
    if (said === 'created') log.info({ month }, 'audit partition made');
    if (said === 'blocked') log.warn({ month }, 'audit partition blocked by rows of the default partition');
  }
}

/**
 * Makes sure of the partitions that these times need, before their rows come: Postgres would not make one later, while
 * the default partition holds rows of its month. A failure is no reason to refuse events: the default takes them.
 */
export async function ensureMonths(
  tx: Transaction<AuditDatabase>,
  times: readonly Date[],
  known: KnownMonths,
): Promise<void> {
  const missing = new Set(times.map(monthOf).filter((month) => month !== undefined && !known.has(month)));
  for (const month of missing) {
    if (month === undefined) continue;
    await sql`savepoint month`.execute(tx);
    try {
      const { rows } = await sql<{ said: string }>`
        select audit.ensure_partition(${`${month}-01`}::date) as said`.execute(tx);
      // 'created' is not remembered: this transaction may still be undone.
      if (rows[0]?.said !== 'created') known.add(month);
      await sql`release savepoint month`.execute(tx);
    } catch {
      await sql`rollback to savepoint month`.execute(tx);
    }
  }
}

function monthOf(time: Date): string | undefined {
  const year = time.getUTCFullYear();
  return year >= YEAR_MIN && year <= YEAR_MAX ? time.toISOString().slice(0, 7) : undefined;
}
