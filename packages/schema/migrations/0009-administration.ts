/** Roles as sets of permissions, who may register, and the deletion of users and tenants. */
export const up = `
alter table auth.user_account drop constraint user_account_role_check;
alter table auth.user_account add constraint user_account_role_check
  check (role in ('USER', 'SUPPORT', 'AUDITOR', 'ADMIN', 'PLATFORM_ADMIN'));
-- 'deleted' is a row that only waits until token has confirmed it; nothing of the person is left in it.
alter table auth.user_account drop constraint user_account_status_check;
alter table auth.user_account add constraint user_account_status_check
  check (status in ('active', 'locked', 'disabled', 'deleted'));
create index user_account_deleted on auth.user_account (id) where status = 'deleted';
-- Searches by the beginning of an address or of a name.
create index user_account_email on auth.user_account (email text_pattern_ops, id);
-- Not a partial one: the planner keeps no statistics of lower(name) by that.
create index user_account_name on auth.user_account (lower(name) text_pattern_ops);
-- Who is locked or disabled, newest first: few among many.
create index user_account_stopped on auth.user_account (created_at, id) where status <> 'active';

alter table auth.tenant drop constraint tenant_registration_check;
alter table auth.tenant add constraint tenant_registration_check
  check (registration in ('open', 'application', 'invite', 'closed'));
-- Until then a deletion can be taken back; the tenant is disabled all the while.
alter table auth.tenant add column delete_after timestamptz;
-- Users that its deletion has removed so far: a deletion that was broken off goes on counting.
alter table auth.tenant add column deleted_users integer not null default 0;
create index tenant_deletion on auth.tenant (delete_after) where delete_after is not null;
create index tenant_newest on auth.tenant (created_at, id);

-- Ids of users and tenants that were deleted. They are never given again: sessions, the audit and NATS accounts would
-- take whoever got one for whom it meant.
create table auth.retired_id (
  id uuid primary key,
  retired_at timestamptz not null default now()
);

-- Locked while its tenant is disabled, and opened again with it; not on its way to be deleted.
alter table natsid.account add column held boolean not null default false;
create index account_tenant on natsid.account (tenant_id) where tenant_id is not null and state in ('active', 'locked');

create index session_newest on token.session (created_at desc, id desc);
create index session_newest_of_tenant on token.session (tenant_id, created_at desc, id desc);
create index session_newest_of_user on token.session (user_id, created_at desc, id desc);
`;

export const down = `
drop index token.session_newest_of_user;
drop index token.session_newest_of_tenant;
drop index token.session_newest;
drop index natsid.account_tenant;
alter table natsid.account drop column held;
drop table auth.retired_id;
drop index auth.tenant_newest;
drop index auth.tenant_deletion;
alter table auth.tenant drop column deleted_users;
alter table auth.tenant drop column delete_after;
update auth.tenant set registration = 'closed' where registration in ('application', 'invite');
alter table auth.tenant drop constraint tenant_registration_check;
alter table auth.tenant add constraint tenant_registration_check check (registration in ('open', 'closed'));
drop index auth.user_account_stopped;
drop index auth.user_account_name;
drop index auth.user_account_email;
drop index auth.user_account_deleted;
update auth.user_account set status = 'disabled', version = version + 1 where status = 'deleted';
alter table auth.user_account drop constraint user_account_status_check;
alter table auth.user_account add constraint user_account_status_check check (status in ('active', 'locked', 'disabled'));
update auth.user_account set role = 'USER', version = version + 1 where role in ('SUPPORT', 'AUDITOR');
alter table auth.user_account drop constraint user_account_role_check;
alter table auth.user_account add constraint user_account_role_check check (role in ('USER', 'ADMIN', 'PLATFORM_ADMIN'));
`;
