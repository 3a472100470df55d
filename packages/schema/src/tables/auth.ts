import type { Generated } from 'kysely';
import type { CreatedAt, KitDatabase, Moment } from './kit.ts';

/** The tenant of whoever names none. Made by the migrations, open for registration. */
export const DEFAULT_TENANT_ID = '00000000-0000-7000-8000-000000000001';

export type TenantStatus = 'active' | 'disabled';
/** `open`: anybody; `application`: whoever an administrator then approves; `invite`: whom one invites; `closed`: nobody. */
export type Registration = 'open' | 'application' | 'invite' | 'closed';
/** What each may do: permission.ts of the kit. */
export type Role = 'USER' | 'SUPPORT' | 'AUDITOR' | 'ADMIN' | 'PLATFORM_ADMIN';
/** `deleted`: nothing of the person is left; the row waits until token has confirmed it. */
export type AccountStatus = 'active' | 'locked' | 'disabled' | 'deleted';

export interface TenantTable {
  id: string;
  name: string;
  status: Generated<TenantStatus>;
  registration: Generated<Registration>;
  /** Add one with each change that token must know. */
  version: Generated<number>;
  /** The last version that token has confirmed; never above `version`. */
  synced_version: Generated<number>;
  /** When it is deleted for good; null unless somebody asked for that. */
  delete_after: Moment;
  /** Users that its deletion has removed so far. */
  deleted_users: Generated<number>;
  created_at: CreatedAt;
  updated_at: CreatedAt;
}

export interface UserAccountTable {
  id: string;
  tenant_id: string;
  /** Canonical form, 3 to 320 characters; unique within the tenant. */
  email: string;
  name: string | null;
  /** PHC string. */
  password_hash: string;
  role: Generated<Role>;
  status: Generated<AccountStatus>;
  /** Add one with each change that token must know. */
  version: Generated<number>;
  /** The last version that token has confirmed; never above `version`. */
  synced_version: Generated<number>;
  password_changed_at: CreatedAt;
  created_at: CreatedAt;
  updated_at: CreatedAt;
}

/** Failed sign-ins by what was typed, whether or not somebody has that address. */
export interface LockoutTable {
  tenant_id: string;
  /** Digest of the canonical address. */
  identity: Buffer;
  failures: Generated<number>;
  window_started_at: CreatedAt;
  locked_until: Moment;
}

/** Sessions that must end after a change of password, until token has confirmed that they have. */
export interface SessionEndTable {
  id: string;
  user_id: string;
  /** The one session that may stay; null ends them all. */
  except_session: string | null;
  client_ip: string | null;
  user_agent: string | null;
  traceparent: string | null;
  created_at: CreatedAt;
}

/** Ids of users and tenants that were deleted; never given again. */
export interface RetiredIdTable {
  id: string;
  retired_at: CreatedAt;
}

/** What the auth service owns: Postgres schema `auth`. */
export interface AuthDatabase extends KitDatabase {
  tenant: TenantTable;
  user_account: UserAccountTable;
  lockout: LockoutTable;
  session_end: SessionEndTable;
  retired_id: RetiredIdTable;
}
