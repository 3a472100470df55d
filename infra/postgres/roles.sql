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

-- What sessions of a service need, for services that log in for themselves (below). Without a pooler each connection
-- says it when it begins; behind one in transaction mode nothing but this holds. The same as
-- packages/schema/src/session-settings.ts.

do $$
declare
  setting record;
begin
  for setting in
    select role_name, name, value
    from unnest(array['auth', 'token', 'audit', 'gateway', 'natsid']) as service,
      lateral (select 'gatehouse_' || service) as r(role_name),
      lateral (values
        ('statement_timeout', '10s'),
        ('idle_in_transaction_session_timeout', '30s'),
        ('timezone', 'UTC'),
        ('jit', 'off'),
        ('search_path', service)) as common(name, value)
    union all values
      ('gatehouse_audit', 'work_mem', '16MB'),
      ('gatehouse_audit', 'random_page_cost', '1.1'),
      ('gatehouse_token', 'plan_cache_mode', 'force_generic_plan'),
      ('gatehouse_token', 'enable_seqscan', 'off'),
      ('gatehouse_token', 'enable_bitmapscan', 'off'),
      ('gatehouse_token', 'enable_hashjoin', 'off'),
      ('gatehouse_token', 'enable_mergejoin', 'off'),
      ('gatehouse_token', 'enable_material', 'off')
  loop
    execute format('alter role %I in database %I set %I = %L',
      setting.role_name, current_database(), setting.name, setting.value);
  end loop;
end
$$;

-- Stronger: each service logs in for itself and can never be more than its role. Set passwords, and give each service
-- its own URL (postgres://gatehouse_token:...@host/database): DATABASE_URL of its process, or TOKEN_DATABASE_URL and so
-- on where one process runs several. Migrations and backups keep using the owner's (DATABASE_DIRECT_URL). Behind a pooler
-- in transaction mode (infra/postgres/pgbouncer.ini) it must be so.
--
--   alter role gatehouse_auth    login password '...';
--   alter role gatehouse_token   login password '...';
--   alter role gatehouse_audit   login password '...';
--   alter role gatehouse_gateway login password '...';
--   alter role gatehouse_natsid login password '...';
