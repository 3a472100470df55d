import type { ColumnType } from 'kysely';
import type { CreatedAt, JsonObject, KitDatabase, Moment } from './kit.ts';

/** Read by the service, written by `audit.append()` alone. */
type Recorded<T> = ColumnType<T, never, never>;
type Noted<T> = ColumnType<T, T, never>;

/**
 * The audit trail. Append-only: the service's role may select and call `audit.append()`; types that are `never` say so.
 * Make months ready with `select audit.ensure_partition(date)` → 'created' | 'exists' | 'blocked'.
 */
export interface EventTable {
  /** A tenant's id, or `platform`. */
  chain: Recorded<string>;
  /** Place in the chain, from 1, without gaps. */
  sequence: Recorded<number>;
  id: Recorded<string>;
  /** Never falls within a chain; kept in milliseconds, so that a Date in a cursor equals the stored value. */
  recorded_at: Recorded<Date>;
  occurred_at: Recorded<Date>;
  type: Recorded<string>;
  severity: Recorded<string>;
  outcome: Recorded<string | null>;
  source: Recorded<string>;
  tenant_id: Recorded<string | null>;
  user_id: Recorded<string | null>;
  actor: Recorded<string | null>;
  subject: Recorded<string | null>;
  trace_id: Recorded<string | null>;
  /** The payload without its personal fields. */
  data: Recorded<JsonObject>;
  client_ip: Recorded<string | null>;
  /** The personal fields of the payload; null when there were none, or when they were erased (the digest tells which). */
  personal: Recorded<JsonObject | null>;
  personal_salt: Recorded<Buffer | null>;
  personal_digest: Recorded<Buffer | null>;
  content_hash: Recorded<Buffer>;
  hash: Recorded<Buffer>;
}

/** Where a chain stands, and the root of what retention has left of it. */
export interface ChainTable {
  chain: Recorded<string>;
  sequence: Recorded<number>;
  hash: Recorded<Buffer>;
  recorded_at: Recorded<Date>;
  dropped_sequence: Recorded<number>;
  dropped_hash: Recorded<Buffer>;
}

/** The log of heads: a leaf of the Merkle tree each. */
export interface HeadTable {
  index: Noted<number>;
  chain: Noted<string>;
  sequence: Noted<number>;
  hash: Noted<Buffer>;
}

/** Signed statements about the log of heads. */
export interface CheckpointTable {
  size: Noted<number>;
  roots: Noted<Buffer[]>;
  root: Noted<Buffer>;
  /** Records of all chains at that moment. */
  events: Noted<number>;
  note: Noted<string>;
  signed_at: Noted<Date>;
}

/** Checkpoints kept outside that are not in this installation's log, and who let signing go on after each. */
export interface FaultTable {
  id: Noted<string>;
  cause: Noted<string>;
  detail: Noted<string>;
  /** The signed note that the log does not have. */
  note: Noted<string>;
  found_at: CreatedAt;
  acknowledged_at: Moment;
  acknowledged_by: ColumnType<string | null, never, string>;
  reason: ColumnType<string | null, never, string>;
}

/** What the audit service owns: Postgres schema `audit`. */
export interface AuditDatabase extends KitDatabase {
  event: EventTable;
  chain: ChainTable;
  head: HeadTable;
  checkpoint: CheckpointTable;
  fault: FaultTable;
}
