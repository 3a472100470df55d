import type { ColumnType, Generated } from 'kysely';
import type { CreatedAt, JsonObject, KitDatabase, Moment } from './kit.ts';

/** What a sealed seed is of; part of what the sealed text is bound to. */
export type SecretKind =
  | 'operator'
  | 'operator_signing'
  | 'account'
  | 'account_signing'
  | 'user'
  | 'curve'
  | 'creds'
  | 'canary';

/** A seed at rest, bound to (kind, id, public_key). */
export interface SecretTable {
  id: string;
  kind: SecretKind;
  public_key: string;
  sealed: string;
  /** The ring key that `sealed` names. */
  key_id: string;
  created_at: CreatedAt;
}

/** A key of the ring seals only as `primary`; see docs/ordering.md. */
export type EncryptionKeyState = 'staged' | 'primary' | 'retiring' | 'drained' | 'destroyed';

export interface EncryptionKeyTable {
  id: string;
  check_value: Buffer;
  state: EncryptionKeyState;
  created_at: CreatedAt;
  primary_at: Moment;
  retiring_at: Moment;
  drained_at: Moment;
  destroyed_at: Moment;
}

export interface EncryptionInstanceTable {
  instance_id: string;
  service: string;
  key_ids: string[];
  /** What its ENCRYPTION_CURRENT_KEY_ID names. */
  wanted_key_id: string;
  started_at: CreatedAt;
  seen_at: CreatedAt;
}

export interface ReencryptionTable {
  id: string;
  to_key_id: string;
  state: 'running' | 'done' | 'failed' | 'cancelled';
  phase: Generated<'rewrap' | 'services' | 'verify'>;
  cursor_id: string | null;
  rewrapped: Generated<number>;
  verified: Generated<number>;
  total: Generated<number>;
  error: string | null;
  started_by: string | null;
  started_at: CreatedAt;
  updated_at: CreatedAt;
  finished_at: Moment;
}

export interface OperatorTable {
  id: string;
  name: string;
  public_key: string;
  /** null: the root key is offline. */
  secret_id: string | null;
  claims: ColumnType<JsonObject, JsonObject | undefined, JsonObject>;
  jwt: string;
  jwt_iat: number;
  system_account_id: string | null;
  open_to_tenants: Generated<boolean>;
  own: Generated<boolean>;
  revision: Generated<number>;
  created_at: CreatedAt;
  updated_at: CreatedAt;
}

export type OperatorKeyState = 'pending' | 'active' | 'retiring';

export interface OperatorKeyTable {
  id: string;
  operator_id: string;
  public_key: string;
  secret_id: string | null;
  state: OperatorKeyState;
  created_at: CreatedAt;
}

export type AccountState = 'active' | 'locked' | 'purging' | 'deleting' | 'deleted';

export interface AccountTable {
  id: string;
  operator_id: string;
  tenant_id: string | null;
  name: string;
  public_key: string;
  secret_id: string | null;
  /** `platform`: the one of Gatehouse's own services. */
  kind: Generated<'account' | 'system' | 'platform'>;
  claims: ColumnType<JsonObject, JsonObject | undefined, JsonObject>;
  expires_at: Moment;
  jwt: string;
  jwt_iat: number;
  jwt_sha256: Buffer;
  /** Who signed `jwt`. */
  issuer_key: string;
  state: Generated<AccountState>;
  state_at: CreatedAt;
  /** What the deletion waits for. */
  state_detail: string | null;
  /** Locked because its tenant is disabled: not on its way to be deleted. */
  held: Generated<boolean>;
  /** When the next step of the deletion is due; also the claim of the process that takes it. */
  state_due_at: CreatedAt;
  purge_consent: Generated<boolean>;
  /** JWTs may live that the ledger does not name. */
  imported: Generated<boolean>;
  revision: Generated<number>;
  created_at: CreatedAt;
  updated_at: CreatedAt;
}

/** A signing key of an account; with `role_name` a role. */
export interface AccountKeyTable {
  id: string;
  account_id: string;
  public_key: string;
  secret_id: string | null;
  role_name: string | null;
  /** `{role, description, template, …unknown fields}` as in the JWT, without kind and key. */
  scope: JsonObject | null;
  revision: Generated<number>;
  created_at: CreatedAt;
  updated_at: CreatedAt;
}

export interface NatsUserTable {
  id: string;
  account_id: string;
  name: string;
  public_key: string;
  secret_id: string | null;
  role_id: string | null;
  claims: ColumnType<JsonObject, JsonObject | undefined, JsonObject>;
  /** null: the platform's default. */
  ttl_seconds: number | null;
  state: Generated<'active' | 'revoked'>;
  last_seen_at: Moment;
  revision: Generated<number>;
  created_at: CreatedAt;
  updated_at: CreatedAt;
}

export interface CredentialTable {
  id: string;
  user_id: string;
  account_id: string;
  public_key: string;
  issuer_key: string;
  jti: string;
  jwt_sha256: Buffer;
  iat: number;
  issued_at: CreatedAt;
  expires_at: Moment;
  superseded_at: Moment;
  revoked_at: Moment;
  last_seen_at: Moment;
  issued_by: string | null;
}

export interface RevocationTable {
  account_id: string;
  /** A user's public key, or `*`. */
  public_key: string;
  before: number;
  until: Moment;
  reason: string | null;
  created_at: CreatedAt;
}

export interface AllowanceTable {
  tenant_id: string;
  operator_id: string;
  accounts_max: number;
  limits_max: ColumnType<JsonObject, JsonObject | undefined, JsonObject>;
  revision: Generated<number>;
  updated_at: CreatedAt;
}

export type ResolverKind = 'full' | 'cache' | 'memory' | 'url' | 'unknown';

export interface ClusterTable {
  id: string;
  operator_id: string;
  name: string;
  servers: string[];
  secret_id: string | null;
  /** When creds from outside end. */
  creds_expire_at: Moment;
  description: Generated<string>;
  own: Generated<boolean>;
  resolver: Generated<ResolverKind>;
  health: ColumnType<JsonObject, JsonObject | undefined, JsonObject>;
  healthy: Generated<boolean>;
  checked_at: Moment;
  /** When its servers are asked again; also the claim of the process that asks. */
  check_due_at: CreatedAt;
  /** When it is searched again for deleted accounts that came back; also a claim. */
  sweep_due_at: CreatedAt;
  synced_at: Moment;
  sync_report: ColumnType<JsonObject, JsonObject | undefined, JsonObject>;
  lease_holder: string | null;
  lease_until: Moment;
  full_sync_due_at: CreatedAt;
  revision: Generated<number>;
  created_at: CreatedAt;
  updated_at: CreatedAt;
}

export type ServerState = 'in_sync' | 'drifted' | 'unreachable' | 'operator_key_untrusted';

export interface ClusterServerTable {
  cluster_id: string;
  server_name: string;
  server_id: string;
  version: Generated<string>;
  state: ServerState;
  health: ColumnType<JsonObject, JsonObject | undefined, JsonObject>;
  seen_at: CreatedAt;
}

export type AccountSyncState = 'pending' | ServerState | 'refused';

export interface AccountSyncTable {
  cluster_id: string;
  account_id: string;
  state: Generated<AccountSyncState>;
  wanted: Generated<number>;
  proven: Generated<number>;
  servers: ColumnType<JsonObject, JsonObject | undefined, JsonObject>;
  attempts: Generated<number>;
  next_at: CreatedAt;
  error: string | null;
  proven_at: Moment;
}

export interface ForeignAccountTable {
  cluster_id: string;
  public_key: string;
  issuer: string | null;
  name: string | null;
  servers: ColumnType<string[], string[] | undefined, string[]>;
  first_seen_at: CreatedAt;
  seen_at: CreatedAt;
}

/** What nats-identity owns: Postgres schema `natsid`. */
export interface NatsidDatabase extends KitDatabase {
  secret: SecretTable;
  encryption_key: EncryptionKeyTable;
  encryption_instance: EncryptionInstanceTable;
  reencryption: ReencryptionTable;
  operator: OperatorTable;
  operator_key: OperatorKeyTable;
  account: AccountTable;
  account_key: AccountKeyTable;
  nats_user: NatsUserTable;
  credential: CredentialTable;
  revocation: RevocationTable;
  allowance: AllowanceTable;
  cluster: ClusterTable;
  cluster_server: ClusterServerTable;
  account_sync: AccountSyncTable;
  foreign_account: ForeignAccountTable;
}
