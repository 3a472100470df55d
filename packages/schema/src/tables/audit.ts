import type { ColumnType } from 'kysely';
import type { CreatedAt, JsonObject, KitDatabase } from './kit.ts';

/**
 * The audit trail. Append-only: the service's role may insert and select, and update types are `never` to say so.
 * Make months ready with `select audit.ensure_partition(date)` → 'created' | 'exists' | 'blocked'.
 */
export interface EventTable {
  id: ColumnType<string, string, never>;
  /** Kept in milliseconds, so that a Date in a cursor equals the stored value. */
  occurred_at: ColumnType<Date, Date | string, never>;
  type: ColumnType<string, string, never>;
  severity: ColumnType<string, string, never>;
  outcome: ColumnType<string | null, string | null | undefined, never>;
  source: ColumnType<string, string, never>;
  tenant_id: ColumnType<string | null, string | null | undefined, never>;
  user_id: ColumnType<string | null, string | null | undefined, never>;
  actor: ColumnType<string | null, string | null | undefined, never>;
  subject: ColumnType<string | null, string | null | undefined, never>;
  client_ip: ColumnType<string | null, string | null | undefined, never>;
  user_agent: ColumnType<string | null, string | null | undefined, never>;
  trace_id: ColumnType<string | null, string | null | undefined, never>;
  data: ColumnType<JsonObject, JsonObject, never>;
  recorded_at: CreatedAt;
}

/** What the audit service owns: Postgres schema `audit`. */
export interface AuditDatabase extends KitDatabase {
  event: EventTable;
}
