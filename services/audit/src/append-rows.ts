import { isIP } from 'node:net';
import type { AuditDatabase } from '@gatehouse/schema';
import { sql, type Transaction } from 'kysely';
import type { TrailRow } from './trail-row.ts';

/**
 * Puts rows at the ends of their chains, in the order given: the only way in that the service's role has. The heads stay
 * locked until the transaction ends.
 */
export async function appendRows(tx: Transaction<AuditDatabase>, rows: readonly TrailRow[]): Promise<void> {
  if (rows.length === 0) return;
  const all = <T>(of: (row: TrailRow) => T): T[] => rows.map(of);
  await sql`
    select audit.append(${all(({ chain }) => chain)}::text[], ${all(({ id }) => id)}::uuid[],
      ${all(({ occurredAt }) => occurredAt.toISOString())}::timestamptz[], ${all(({ type }) => type)}::text[],
      ${all(({ severity }) => severity)}::text[], ${all(({ outcome }) => outcome)}::text[],
      ${all(({ source }) => source)}::text[], ${all(({ tenantId }) => tenantId)}::uuid[],
      ${all(({ userId }) => userId)}::uuid[], ${all(({ actor }) => actor)}::text[],
      ${all(({ subject }) => subject)}::text[], ${all(({ traceId }) => traceId)}::text[],
      ${all(({ data }) => JSON.stringify(data))}::jsonb[], ${all(({ personal }) => addressOf(personal?.fields.client_ip))}::inet[],
      ${all(({ personal }) => (personal === undefined ? null : JSON.stringify(personal.fields)))}::jsonb[],
      ${all(({ personal }) => personal?.salt ?? null)}::bytea[], ${all(({ personal }) => personal?.digest ?? null)}::bytea[],
      ${all(({ contentHash }) => contentHash)}::bytea[])`.execute(tx);
}

const addressOf = (value: unknown): string | null =>
  typeof value === 'string' && isIP(value) !== 0 && !value.includes('%') ? value : null;
