/** What administration of accounts needs: questions to token that outlive a crash, and indexes for its lists. */
export const up = `
-- "The other sessions must end", written with the new password and deleted only when token has confirmed it. What a
-- crash leaves here is asked again.
create table auth.session_end (
  id uuid primary key,
  user_id uuid not null references auth.user_account (id),
  -- The one session that may stay; null ends them all.
  except_session uuid,
  client_ip text,
  user_agent text,
  traceparent text,
  created_at timestamptz not null default now()
);
create index session_end_age on auth.session_end (created_at);

-- Who may administer is asked before each change of a role or status ("is this the last one?").
create index user_account_administrator on auth.user_account (tenant_id, role) where role <> 'USER';
create index user_account_newest on auth.user_account (created_at, id);
create index user_account_newest_of_tenant on auth.user_account (tenant_id, created_at, id);
`;

export const down = `
drop index auth.user_account_newest_of_tenant;
drop index auth.user_account_newest;
drop index auth.user_account_administrator;
drop table auth.session_end;
`;
