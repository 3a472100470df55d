/** What token knows of users and tenants, sessions, refresh tokens and signing keys. */
export const up = `
-- Projections of auth's rows. 'version' is auth's: an older one never overwrites a newer one.
create table token.subject (
  user_id uuid primary key,
  tenant_id uuid not null,
  status text not null check (status in ('active', 'locked', 'disabled')),
  roles text[] not null default '{}',
  version bigint not null,
  updated_at timestamptz not null default now()
);
create table token.tenant_state (
  tenant_id uuid primary key,
  status text not null check (status in ('active', 'disabled')),
  version bigint not null,
  updated_at timestamptz not null default now()
);

create table token.session (
  id uuid primary key,
  tenant_id uuid not null,
  user_id uuid not null,
  scope text not null default '',
  client_ip text,
  user_agent text,
  created_at timestamptz not null default now(),
  -- The absolute end: no rotation moves it.
  expires_at timestamptz not null,
  -- The truth about revocation, for refresh tokens and access tokens alike. Set once, never cleared.
  revoked_at timestamptz,
  revoked_reason text
);
create index session_live_by_user on token.session (user_id) where revoked_at is null;
create index session_live_by_tenant on token.session (tenant_id) where revoked_at is null;
create index session_expiry on token.session (expires_at);

-- family_id is session.id, deliberately without a foreign key: the hot path's insert derives from the session row
-- in the same statement, and a foreign key would take a key-share lock on that row with every rotation.
-- The unique (family_id, generation) stands behind the rule that a token is spent once: two successors of one
-- token cannot both be stored, whatever the code does.
create table token.refresh_token (
  hash bytea primary key,
  family_id uuid not null,
  generation integer not null check (generation >= 0),
  issued_at timestamptz not null default now(),
  expires_at timestamptz not null,
  consumed_at timestamptz,
  consumed_ip text,
  consumed_agent text,
  unique (family_id, generation)
) with (
  -- Room for the one update a row sees (consumed_*, none of it indexed), so that it stays on its page (HOT).
  fillfactor = 80
);
-- For the purge only. Rows arrive in order of time, so a block range index finds the old ones and costs the hot
-- path nothing.
create index refresh_token_expiry on token.refresh_token using brin (expires_at) with (autosummarize = on);

create table token.signing_key (
  kid text primary key,
  algorithm text not null check (algorithm in ('RS256', 'ES256', 'EdDSA')),
  state text not null check (state in ('next', 'current', 'previous', 'retired')),
  public_jwk jsonb not null,
  private_sealed text,
  created_at timestamptz not null default now(),
  published_at timestamptz,
  activates_at timestamptz,
  activated_at timestamptz,
  retires_at timestamptz,
  retired_at timestamptz
);
-- At most one current and one next key, however many instances rotate at the same moment.
create unique index signing_key_single on token.signing_key (state) where state in ('next', 'current');
`;

export const down = `
drop table token.signing_key;
drop table token.refresh_token;
drop table token.session;
drop table token.tenant_state;
drop table token.subject;
`;
