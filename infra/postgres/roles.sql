-- The roles that Gatehouse's services work under, for a cluster whose administrator does not give the migrating user
-- CREATEROLE. Run it as a superuser (or a CREATEROLE administrator) in the database that Gatehouse will use, before
-- "gatehouse migrate up":
--
--   psql "$ADMINISTRATOR_URL" -f infra/postgres/roles.sql
--
-- It can be run again at any time. The roles are made for the whole cluster and granted to the owner of this database.

do $$
declare
  role_name text;
  database_owner text := (select pg_get_userbyid(datdba) from pg_database where datname = current_database());
begin
  foreach role_name in array array['gatehouse_auth', 'gatehouse_token', 'gatehouse_audit', 'gatehouse_gateway', 'gatehouse_natsid'] loop
    begin
      execute format('create role %I nologin', role_name);
    exception when duplicate_object or unique_violation then
      null;
    end;
    -- So that services which share the owner's URL can take the role on. It guards against mistakes, not against an
    -- intruder in the process: whoever holds the owner's password can put the role off again.
    execute format('grant %I to %I', role_name, database_owner);
  end loop;
end
$$;

-- Stronger: each service logs in for itself and can never be more than its role. Set passwords, and give each service
-- its own URL (postgres://gatehouse_token:...@host/database); migrations keep using the owner's.
--
--   alter role gatehouse_auth    login password '...';
--   alter role gatehouse_token   login password '...';
--   alter role gatehouse_audit   login password '...';
--   alter role gatehouse_gateway login password '...';
--   alter role gatehouse_natsid login password '...';
