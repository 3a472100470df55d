import type { Generated } from 'kysely';
import type { AccountStatus, TenantStatus } from './auth.ts';
import type { CreatedAt, JsonObject, KitDatabase, Moment, RequiredMoment } from './kit.ts';

export type SigningAlgorithm = 'RS256' | 'ES256' | 'EdDSA';
/** At most one key is `next` and at most one is `current`; a unique index holds that. */
export type SigningKeyState = 'next' | 'current' | 'previous' | 'retired';

/** Projection of a user of auth. */
export interface SubjectTable {
  user_id: string;
  tenant_id: string;
  status: AccountStatus;
  /** The held role and all below it. */
  roles: Generated<string[]>;
  /** auth's version of the row: an older one must not overwrite a newer one. */
  version: number;
  updated_at: CreatedAt;
}

/** Projection of a tenant of auth. */
export interface TenantStateTable {
  tenant_id: string;
  status: TenantStatus;
  version: number;
  updated_at: CreatedAt;
}

export interface SessionTable {
  id: string;
  tenant_id: string;
  user_id: string;
  /** Space-separated, as in the token. */
  scope: Generated<string>;
  client_ip: string | null;
  user_agent: string | null;
  created_at: CreatedAt;
  /** The absolute end. */
  expires_at: RequiredMoment;
  /** The truth about revocation: set once, never cleared. */
  revoked_at: Moment;
  revoked_reason: string | null;
}

export interface RefreshTokenTable {
  /** SHA-256 of the token; the token itself is stored nowhere. */
  hash: Buffer;
  /** session.id; no foreign key (see the migration). */
  family_id: string;
  /** 0 for the first of the family; unique within it. */
  generation: number;
  issued_at: CreatedAt;
  expires_at: RequiredMoment;
  consumed_at: Moment;
  consumed_ip: string | null;
  consumed_agent: string | null;
}

export interface SigningKeyTable {
  kid: string;
  algorithm: SigningAlgorithm;
  state: SigningKeyState;
  public_jwk: JsonObject;
  /** Sealed under the key ring; null when the private half is kept elsewhere. */
  private_sealed: string | null;
  created_at: CreatedAt;
  published_at: Moment;
  activates_at: Moment;
  activated_at: Moment;
  retires_at: Moment;
  retired_at: Moment;
}

/** What the token service owns: Postgres schema `token`. */
export interface TokenDatabase extends KitDatabase {
  subject: SubjectTable;
  tenant_state: TenantStateTable;
  session: SessionTable;
  refresh_token: RefreshTokenTable;
  signing_key: SigningKeyTable;
}
