/** Tenants, people's accounts and the lockout counters. */
export const up = `
create table auth.tenant (
  id uuid primary key,
  name text not null,
  status text not null default 'active' check (status in ('active', 'disabled')),
  registration text not null default 'closed' check (registration in ('open', 'closed')),
  -- Grows by one with each change that token must know; synced_version is the last one that token has confirmed.
  version bigint not null default 1,
  synced_version bigint not null default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  check (synced_version <= version)
);
create index tenant_unsynced on auth.tenant (id) where synced_version < version;

insert into auth.tenant (id, name, registration)
values ('00000000-0000-7000-8000-000000000001', 'default', 'open');

create table auth.user_account (
  id uuid primary key,
  tenant_id uuid not null references auth.tenant (id),
  -- The canonical form (trimmed, NFKC, lower case, IDN): made once at the edge, never here.
  email text not null check (length(email) between 3 and 320),
  name text,
  password_hash text not null,
  role text not null default 'USER' check (role in ('USER', 'ADMIN', 'PLATFORM_ADMIN')),
  status text not null default 'active' check (status in ('active', 'locked', 'disabled')),
  version bigint not null default 1,
  synced_version bigint not null default 0,
  password_changed_at timestamptz not null default now(),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  unique (tenant_id, email),
  check (synced_version <= version)
);
create index user_account_unsynced on auth.user_account (id) where synced_version < version;

-- Keyed by what was typed, not by an account: an address that nobody has counts and locks the same as one that
-- somebody has. Hence the digest, and no foreign key.
create table auth.lockout (
  tenant_id uuid not null,
  identity bytea not null,
  failures integer not null default 0 check (failures >= 0),
  window_started_at timestamptz not null default now(),
  locked_until timestamptz,
  primary key (tenant_id, identity)
) with (fillfactor = 70);
create index lockout_window on auth.lockout (window_started_at);
`;

export const down = `
drop table auth.lockout;
drop table auth.user_account;
drop table auth.tenant;
`;
