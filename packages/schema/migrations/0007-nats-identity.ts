/**
 * NATS identities: operators, accounts, roles, users, what was issued to them, and the clusters that enforce it.
 * Everything secret is in one table, natsid.secret, so that one job can re-encrypt it all.
 */
export const up = `
create schema natsid;
grant usage on schema natsid to gatehouse_natsid;
alter default privileges in schema natsid grant select, insert, update, delete on tables to gatehouse_natsid;
alter default privileges in schema natsid grant usage on sequences to gatehouse_natsid;

create table natsid.outbox (
  id uuid primary key,
  lane smallint not null default 1,
  type text not null,
  subject text not null,
  tenant_id uuid,
  aggregate text not null,
  sequence bigint not null generated always as identity,
  data jsonb not null,
  traceparent text,
  occurred_at timestamptz not null default now(),
  published_at timestamptz,
  attempts integer not null default 0
) with (
  -- As the other services' (0001): a queue whose rows are updated once and deleted soon after.
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0,
  autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 10000,
  autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000
);
create index outbox_pending on natsid.outbox (lane, id) where published_at is null;
create index outbox_published on natsid.outbox (published_at) where published_at is not null;
create table natsid.inbox (
  consumer text not null,
  event_id uuid not null,
  received_at timestamptz not null default now(),
  primary key (consumer, event_id)
);
create index inbox_received on natsid.inbox (received_at);
create table natsid.dead_letter (
  id uuid primary key default gen_random_uuid(),
  consumer text not null,
  event_id uuid,
  type text not null,
  subject text not null,
  headers jsonb not null default '{}',
  payload bytea not null,
  reason text not null,
  deliveries integer not null,
  created_at timestamptz not null default now(),
  replayed_at timestamptz
);
create index dead_letter_open on natsid.dead_letter (created_at) where replayed_at is null;
grant select on gatehouse.kysely_migration, gatehouse.kysely_migration_lock to gatehouse_natsid;
grant usage on schema gatehouse to gatehouse_natsid;

-- Every seed, each under a data key of its own that the ring key 'key_id' wraps. The sealed text is bound to kind, id
-- and public key: moved to another row it does not open.
create table natsid.secret (
  id uuid primary key,
  kind text not null check (kind in ('operator', 'operator_signing', 'account', 'account_signing', 'user', 'curve', 'creds', 'canary')),
  public_key text not null,
  sealed text not null,
  key_id text not null,
  created_at timestamptz not null default now()
);
-- "How many records still need this key", and the walk of the re-encryption.
create index secret_by_key on natsid.secret (key_id, id);
-- What came from NIS as it was sealed there; nothing binds it to its row, so it is sealed anew at once.
create index secret_legacy on natsid.secret (id) where sealed like 'encrypted:%';
create unique index secret_canary on natsid.secret (kind) where kind = 'canary';

-- The states of the ring's keys: staged (read everywhere) -> primary (seals) -> retiring -> drained -> destroyed.
create table natsid.encryption_key (
  id text primary key,
  -- HMAC of a constant under the key: a name that suddenly stands for another key is found at the start.
  check_value bytea not null,
  state text not null check (state in ('staged', 'primary', 'retiring', 'drained', 'destroyed')),
  created_at timestamptz not null default now(),
  primary_at timestamptz,
  retiring_at timestamptz,
  drained_at timestamptz,
  destroyed_at timestamptz
);
create unique index encryption_key_primary on natsid.encryption_key (state) where state = 'primary';
-- Which process holds which keys: a key may seal only when every living process can open what it sealed.
create table natsid.encryption_instance (
  instance_id uuid primary key,
  service text not null,
  key_ids text[] not null,
  -- What its ENCRYPTION_CURRENT_KEY_ID names.
  wanted_key_id text not null,
  started_at timestamptz not null default now(),
  seen_at timestamptz not null default now()
);
create table natsid.reencryption (
  id uuid primary key,
  to_key_id text not null references natsid.encryption_key (id),
  state text not null check (state in ('running', 'done', 'failed', 'cancelled')),
  -- rewrap: our own records; services: those of the others; verify: everything is opened once.
  phase text not null default 'rewrap' check (phase in ('rewrap', 'services', 'verify')),
  -- Where the walk of the phase stands: records up to this one are done.
  cursor_id text,
  rewrapped bigint not null default 0,
  verified bigint not null default 0,
  total bigint not null default 0,
  error text,
  started_by text,
  started_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  finished_at timestamptz
);
create unique index reencryption_single on natsid.reencryption (state) where state = 'running';

create table natsid.operator (
  id uuid primary key,
  name text not null,
  public_key text not null unique,
  -- null: the root key is offline, only its public half is known; then 'jwt' comes from outside.
  secret_id uuid references natsid.secret (id),
  -- The nats section of the JWT except keys; unknown fields of an import are kept.
  claims jsonb not null default '{}',
  jwt text not null,
  jwt_iat bigint not null,
  system_account_id uuid,
  -- Whether tenants may have accounts under it (within natsid.allowance).
  open_to_tenants boolean not null default false,
  -- Made with the platform's own bus.
  own boolean not null default false,
  revision bigint not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create unique index operator_name on natsid.operator (lower(name));
create unique index operator_own on natsid.operator (own) where own;

-- Signing keys of operators. 'pending' does not sign yet: some server does not trust it until its restart.
create table natsid.operator_key (
  id uuid primary key,
  operator_id uuid not null references natsid.operator (id) on delete cascade,
  public_key text not null unique,
  secret_id uuid references natsid.secret (id),
  state text not null check (state in ('pending', 'active', 'retiring')),
  created_at timestamptz not null default now()
);
create index operator_key_by_operator on natsid.operator_key (operator_id);

create table natsid.account (
  id uuid primary key,
  operator_id uuid not null references natsid.operator (id),
  -- null: the platform's.
  tenant_id uuid,
  name text not null,
  public_key text not null unique,
  secret_id uuid references natsid.secret (id),
  -- 'platform': the one that Gatehouse's own services live in; it is not deleted.
  kind text not null default 'account' check (kind in ('account', 'system', 'platform')),
  -- The nats section of the JWT except keys and revocations; unknown fields of an import are kept.
  claims jsonb not null default '{}',
  expires_at timestamptz,
  -- What every server shall enforce. Changed only under the row's lock, with a greater iat each time.
  jwt text not null,
  jwt_iat bigint not null,
  jwt_sha256 bytea not null,
  -- Who signed 'jwt': an operator key goes when no account needs it any more.
  issuer_key text not null,
  -- Deleting: active -> locked (nobody connects) -> purging (streams go) -> deleting -> deleted (a tombstone: it is
  -- deleted again wherever it comes back) -> the row goes.
  state text not null default 'active' check (state in ('active', 'locked', 'purging', 'deleting', 'deleted')),
  state_at timestamptz not null default now(),
  -- What the deletion waits for, in words; null while nothing is in its way.
  state_detail text,
  -- When its next step is due; also the claim of the process that takes it.
  state_due_at timestamptz not null default now(),
  purge_consent boolean not null default false,
  -- Its keys were known elsewhere: JWTs may live that the ledger does not name, so its revocations stay for ever.
  imported boolean not null default false,
  revision bigint not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
-- Of one owner: a tenant must not learn from a refusal which names another has.
create unique index account_name on natsid.account
  (operator_id, coalesce(tenant_id, '00000000-0000-0000-0000-000000000000'), lower(name)) where state <> 'deleted';
create index account_by_operator on natsid.account (operator_id, created_at desc, id desc);
create index account_by_tenant on natsid.account (tenant_id, created_at desc, id desc);
create index account_by_age on natsid.account (created_at desc, id desc);
create index account_by_issuer on natsid.account (issuer_key, id) where state <> 'deleted';
create index account_unfinished on natsid.account (state_due_at) where state <> 'active';
alter table natsid.operator add constraint operator_system_account
  foreign key (system_account_id) references natsid.account (id) deferrable initially deferred;

-- Signing keys of accounts. With a name it is a role: a scoped key whose template its users obey.
create table natsid.account_key (
  id uuid primary key,
  account_id uuid not null references natsid.account (id) on delete cascade,
  public_key text not null unique,
  secret_id uuid references natsid.secret (id),
  role_name text,
  -- The scope as it stands in the account's JWT, except kind and key; null for a plain key.
  scope jsonb,
  revision bigint not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  check ((role_name is null) = (scope is null))
);
create unique index account_key_role on natsid.account_key (account_id, lower(role_name)) where role_name is not null;
create index account_key_by_account on natsid.account_key (account_id, id desc);

create table natsid.nats_user (
  id uuid primary key,
  account_id uuid not null references natsid.account (id) on delete cascade,
  name text not null,
  public_key text not null unique,
  -- null: the user keeps its own seed.
  secret_id uuid references natsid.secret (id),
  role_id uuid references natsid.account_key (id),
  claims jsonb not null default '{}',
  -- Lifetime of what is issued to it; null: the platform's default (NATS_CREDENTIAL_TTL_SECONDS).
  ttl_seconds integer check (ttl_seconds > 0),
  state text not null default 'active' check (state in ('active', 'revoked')),
  last_seen_at timestamptz,
  revision bigint not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create unique index nats_user_name on natsid.nats_user (account_id, lower(name));
create index nats_user_by_account on natsid.nats_user (account_id, id desc);
create index nats_user_by_role on natsid.nats_user (role_id) where role_id is not null;

-- Every JWT ever issued to a user, until it has expired for long. The JWT itself is not kept: of a bearer it is the
-- credential.
create table natsid.credential (
  id uuid primary key,
  user_id uuid not null,
  account_id uuid not null references natsid.account (id) on delete cascade,
  public_key text not null,
  issuer_key text not null,
  jti text not null,
  jwt_sha256 bytea not null,
  iat bigint not null,
  issued_at timestamptz not null default now(),
  expires_at timestamptz,
  superseded_at timestamptz,
  revoked_at timestamptz,
  last_seen_at timestamptz,
  issued_by text
);
-- Ids are UUID v7: the newest first by id.
create index credential_by_user on natsid.credential (user_id, id desc);
create index credential_by_account on natsid.credential (account_id, id desc);
create index credential_by_hash on natsid.credential (jwt_sha256);

-- Kills JWTs of public_key ('*': of everybody) issued until 'before' (seconds). Goes when all that it names expired.
create table natsid.revocation (
  account_id uuid not null references natsid.account (id) on delete cascade,
  public_key text not null,
  before bigint not null,
  -- null: something that it names never expires.
  until timestamptz,
  reason text,
  created_at timestamptz not null default now(),
  primary key (account_id, public_key)
);
create index revocation_until on natsid.revocation (until) where until is not null;

-- What the platform allows a tenant under an operator.
create table natsid.allowance (
  tenant_id uuid not null,
  operator_id uuid not null references natsid.operator (id) on delete cascade,
  accounts_max integer not null check (accounts_max >= 0),
  -- The most that any account of the tenant may have, in the fields of account limits.
  limits_max jsonb not null default '{}',
  revision bigint not null default 1,
  updated_at timestamptz not null default now(),
  primary key (tenant_id, operator_id)
);

create table natsid.cluster (
  id uuid primary key,
  operator_id uuid not null references natsid.operator (id),
  name text not null,
  servers text[] not null,
  -- Creds of a system account user from outside; null: made on the fly with the system account's key.
  secret_id uuid references natsid.secret (id),
  -- When the creds from outside end.
  creds_expire_at timestamptz,
  description text not null default '',
  -- The platform's own bus.
  own boolean not null default false,
  -- What the last look found: full, cache, memory, url, or unknown.
  resolver text not null default 'unknown',
  health jsonb not null default '{}',
  healthy boolean not null default false,
  checked_at timestamptz,
  -- When its servers are asked again how they are; also the claim of the process that asks.
  check_due_at timestamptz not null default now(),
  -- When it is searched again for deleted accounts that came back; also a claim.
  sweep_due_at timestamptz not null default now(),
  synced_at timestamptz,
  -- What the last full look found and did.
  sync_report jsonb not null default '{}',
  -- One process at a time writes to a cluster: whoever holds the lease.
  lease_holder uuid,
  lease_until timestamptz,
  full_sync_due_at timestamptz not null default now(),
  revision bigint not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create unique index cluster_name on natsid.cluster (lower(name));
create index cluster_by_operator on natsid.cluster (operator_id);

create table natsid.cluster_server (
  cluster_id uuid not null references natsid.cluster (id) on delete cascade,
  server_name text not null,
  server_id text not null,
  version text not null default '',
  state text not null check (state in ('in_sync', 'drifted', 'unreachable', 'operator_key_untrusted')),
  health jsonb not null default '{}',
  seen_at timestamptz not null default now(),
  primary key (cluster_id, server_name)
);

-- Desired against proven, an account and cluster a row. proven 0: never.
create table natsid.account_sync (
  cluster_id uuid not null references natsid.cluster (id) on delete cascade,
  account_id uuid not null references natsid.account (id) on delete cascade,
  state text not null default 'pending'
    check (state in ('pending', 'in_sync', 'drifted', 'unreachable', 'operator_key_untrusted', 'refused')),
  -- Grows with every change of what is wanted; what is proven is compared with it.
  wanted bigint not null default 1,
  proven bigint not null default 0,
  -- Per server: stored and enforced hash, when, and what went wrong.
  servers jsonb not null default '{}',
  attempts integer not null default 0,
  next_at timestamptz not null default now(),
  error text,
  proven_at timestamptz,
  primary key (cluster_id, account_id)
);
create index account_sync_due on natsid.account_sync (cluster_id, next_at) where proven < wanted;
create index account_sync_by_account on natsid.account_sync (account_id);

-- Accounts that servers hold and we do not own. Shown, never touched.
create table natsid.foreign_account (
  cluster_id uuid not null references natsid.cluster (id) on delete cascade,
  public_key text not null,
  issuer text,
  name text,
  servers text[] not null default '{}',
  first_seen_at timestamptz not null default now(),
  seen_at timestamptz not null default now(),
  primary key (cluster_id, public_key)
);
`;

export const down = `
alter table natsid.operator drop constraint operator_system_account;
drop table natsid.foreign_account, natsid.account_sync, natsid.cluster_server, natsid.cluster, natsid.allowance,
  natsid.revocation, natsid.credential, natsid.nats_user, natsid.account_key, natsid.account, natsid.operator_key,
  natsid.operator, natsid.reencryption, natsid.encryption_instance, natsid.encryption_key, natsid.secret;
revoke select on gatehouse.kysely_migration, gatehouse.kysely_migration_lock from gatehouse_natsid;
revoke usage on schema gatehouse from gatehouse_natsid;
drop table natsid.outbox, natsid.inbox, natsid.dead_letter;
alter default privileges in schema natsid revoke all on tables from gatehouse_natsid;
alter default privileges in schema natsid revoke all on sequences from gatehouse_natsid;
drop schema natsid;
`;
