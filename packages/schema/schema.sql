-- Made from a freshly migrated database by the test beside migrate.ts; write it anew with: vitest run --project unit -u packages/schema
-- schema public

-- schema auth

grant usage on schema auth to gatehouse_auth;

create table auth.dead_letter (
  id uuid not null default gen_random_uuid(),
  consumer text not null,
  event_id uuid,
  type text not null,
  subject text not null,
  headers jsonb not null default '{}'::jsonb,
  payload bytea not null,
  reason text not null,
  deliveries integer not null,
  created_at timestamp with time zone not null default now(),
  replayed_at timestamp with time zone,
  discarded_at timestamp with time zone,
  constraint dead_letter_pkey PRIMARY KEY (id)
);
create table auth.inbox (
  consumer text not null,
  event_id uuid not null,
  received_at timestamp with time zone not null default now(),
  constraint inbox_pkey PRIMARY KEY (consumer, event_id)
);
create table auth.lockout (
  tenant_id uuid not null,
  identity bytea not null,
  failures integer not null default 0,
  window_started_at timestamp with time zone not null default now(),
  locked_until timestamp with time zone,
  constraint lockout_failures_check CHECK ((failures >= 0)),
  constraint lockout_pkey PRIMARY KEY (tenant_id, identity)
) with (fillfactor=70);
create table auth.outbox (
  id uuid not null,
  lane smallint not null default 1,
  type text not null,
  subject text not null,
  tenant_id uuid,
  aggregate text not null,
  sequence bigint not null generated always as identity,
  data jsonb not null,
  traceparent text,
  occurred_at timestamp with time zone not null default now(),
  published_at timestamp with time zone,
  attempts integer not null default 0,
  constraint outbox_pkey PRIMARY KEY (id)
) with (autovacuum_analyze_scale_factor=0, autovacuum_analyze_threshold=5000, autovacuum_vacuum_cost_delay=0, autovacuum_vacuum_insert_scale_factor=0, autovacuum_vacuum_insert_threshold=10000, autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=1000);
create table auth.retired_id (
  id uuid not null,
  retired_at timestamp with time zone not null default now(),
  constraint retired_id_pkey PRIMARY KEY (id)
);
create table auth.session_end (
  id uuid not null,
  user_id uuid not null,
  except_session uuid,
  client_ip text,
  user_agent text,
  traceparent text,
  created_at timestamp with time zone not null default now(),
  constraint session_end_pkey PRIMARY KEY (id),
  constraint session_end_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.user_account(id)
);
create table auth.tenant (
  id uuid not null,
  name text not null,
  status text not null default 'active'::text,
  registration text not null default 'closed'::text,
  version bigint not null default 1,
  synced_version bigint not null default 0,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  delete_after timestamp with time zone,
  deleted_users integer not null default 0,
  constraint tenant_check CHECK ((synced_version <= version)),
  constraint tenant_pkey PRIMARY KEY (id),
  constraint tenant_registration_check CHECK ((registration = ANY (ARRAY['open'::text, 'application'::text, 'invite'::text, 'closed'::text]))),
  constraint tenant_status_check CHECK ((status = ANY (ARRAY['active'::text, 'disabled'::text])))
);
create table auth.user_account (
  id uuid not null,
  tenant_id uuid not null,
  email text not null,
  name text,
  password_hash text not null,
  role text not null default 'USER'::text,
  status text not null default 'active'::text,
  version bigint not null default 1,
  synced_version bigint not null default 0,
  password_changed_at timestamp with time zone not null default now(),
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint user_account_check CHECK ((synced_version <= version)),
  constraint user_account_email_check CHECK (((length(email) >= 3) AND (length(email) <= 320))),
  constraint user_account_pkey PRIMARY KEY (id),
  constraint user_account_role_check CHECK ((role = ANY (ARRAY['USER'::text, 'SUPPORT'::text, 'AUDITOR'::text, 'ADMIN'::text, 'PLATFORM_ADMIN'::text]))),
  constraint user_account_status_check CHECK ((status = ANY (ARRAY['active'::text, 'locked'::text, 'disabled'::text, 'deleted'::text]))),
  constraint user_account_tenant_id_email_key UNIQUE (tenant_id, email),
  constraint user_account_tenant_id_fkey FOREIGN KEY (tenant_id) REFERENCES auth.tenant(id)
);

CREATE INDEX dead_letter_waiting ON auth.dead_letter USING btree (created_at, id) WHERE ((replayed_at IS NULL) AND (discarded_at IS NULL));
CREATE INDEX inbox_received ON auth.inbox USING btree (received_at);
CREATE INDEX lockout_window ON auth.lockout USING btree (window_started_at);
CREATE INDEX outbox_pending ON auth.outbox USING btree (lane, id) WHERE (published_at IS NULL);
CREATE INDEX outbox_published ON auth.outbox USING btree (published_at) WHERE (published_at IS NOT NULL);
CREATE INDEX session_end_age ON auth.session_end USING btree (created_at);
CREATE INDEX tenant_deletion ON auth.tenant USING btree (delete_after) WHERE (delete_after IS NOT NULL);
CREATE INDEX tenant_newest ON auth.tenant USING btree (created_at, id);
CREATE INDEX tenant_unsynced ON auth.tenant USING btree (id) WHERE (synced_version < version);
CREATE INDEX user_account_administrator ON auth.user_account USING btree (tenant_id, role) WHERE (role <> 'USER'::text);
CREATE INDEX user_account_deleted ON auth.user_account USING btree (id) WHERE (status = 'deleted'::text);
CREATE INDEX user_account_email ON auth.user_account USING btree (email text_pattern_ops, id);
CREATE INDEX user_account_name ON auth.user_account USING btree (lower(name) text_pattern_ops);
CREATE INDEX user_account_newest ON auth.user_account USING btree (created_at, id);
CREATE INDEX user_account_newest_of_tenant ON auth.user_account USING btree (tenant_id, created_at, id);
CREATE INDEX user_account_stopped ON auth.user_account USING btree (created_at, id) WHERE (status <> 'active'::text);
CREATE INDEX user_account_unsynced ON auth.user_account USING btree (id) WHERE (synced_version < version);

grant delete, insert, select, update on auth.dead_letter to gatehouse_auth;
grant delete, insert, select, update on auth.inbox to gatehouse_auth;
grant delete, insert, select, update on auth.lockout to gatehouse_auth;
grant delete, insert, select, update on auth.outbox to gatehouse_auth;
grant usage on auth.outbox_sequence_seq to gatehouse_auth;
grant delete, insert, select, update on auth.retired_id to gatehouse_auth;
grant delete, insert, select, update on auth.session_end to gatehouse_auth;
grant delete, insert, select, update on auth.tenant to gatehouse_auth;
grant delete, insert, select, update on auth.user_account to gatehouse_auth;

alter default privileges in schema auth grant delete, insert, select, update on tables to gatehouse_auth;
alter default privileges in schema auth grant usage on sequences to gatehouse_auth;

-- schema token

grant usage on schema token to gatehouse_token;

create table token.dead_letter (
  id uuid not null default gen_random_uuid(),
  consumer text not null,
  event_id uuid,
  type text not null,
  subject text not null,
  headers jsonb not null default '{}'::jsonb,
  payload bytea not null,
  reason text not null,
  deliveries integer not null,
  created_at timestamp with time zone not null default now(),
  replayed_at timestamp with time zone,
  discarded_at timestamp with time zone,
  constraint dead_letter_pkey PRIMARY KEY (id)
);
create table token.inbox (
  consumer text not null,
  event_id uuid not null,
  received_at timestamp with time zone not null default now(),
  constraint inbox_pkey PRIMARY KEY (consumer, event_id)
);
create table token.outbox (
  id uuid not null,
  lane smallint not null default 1,
  type text not null,
  subject text not null,
  tenant_id uuid,
  aggregate text not null,
  sequence bigint not null generated always as identity,
  data jsonb not null,
  traceparent text,
  occurred_at timestamp with time zone not null default now(),
  published_at timestamp with time zone,
  attempts integer not null default 0,
  constraint outbox_pkey PRIMARY KEY (id)
) with (autovacuum_analyze_scale_factor=0, autovacuum_analyze_threshold=5000, autovacuum_vacuum_cost_delay=0, autovacuum_vacuum_insert_scale_factor=0, autovacuum_vacuum_insert_threshold=10000, autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=1000);
create table token.refresh_token (
  hash bytea not null,
  family_id uuid not null,
  generation integer not null,
  issued_at timestamp with time zone not null default now(),
  expires_at timestamp with time zone not null,
  consumed_at timestamp with time zone,
  consumed_ip text,
  consumed_agent text,
  constraint refresh_token_family_id_generation_key UNIQUE (family_id, generation),
  constraint refresh_token_generation_check CHECK ((generation >= 0)),
  constraint refresh_token_pkey PRIMARY KEY (hash)
) with (fillfactor=80);
create table token.session (
  id uuid not null,
  tenant_id uuid not null,
  user_id uuid not null,
  scope text not null default ''::text,
  client_ip text,
  user_agent text,
  created_at timestamp with time zone not null default now(),
  expires_at timestamp with time zone not null,
  revoked_at timestamp with time zone,
  revoked_reason text,
  constraint session_pkey PRIMARY KEY (id)
);
create table token.signing_key (
  kid text not null,
  algorithm text not null,
  state text not null,
  public_jwk jsonb not null,
  private_sealed text,
  created_at timestamp with time zone not null default now(),
  published_at timestamp with time zone,
  activates_at timestamp with time zone,
  activated_at timestamp with time zone,
  retires_at timestamp with time zone,
  retired_at timestamp with time zone,
  constraint signing_key_algorithm_check CHECK ((algorithm = ANY (ARRAY['RS256'::text, 'ES256'::text, 'EdDSA'::text]))),
  constraint signing_key_pkey PRIMARY KEY (kid),
  constraint signing_key_state_check CHECK ((state = ANY (ARRAY['next'::text, 'current'::text, 'previous'::text, 'retired'::text])))
);
create table token.subject (
  user_id uuid not null,
  tenant_id uuid not null,
  status text not null,
  roles text[] not null default '{}'::text[],
  version bigint not null,
  updated_at timestamp with time zone not null default now(),
  constraint subject_pkey PRIMARY KEY (user_id),
  constraint subject_status_check CHECK ((status = ANY (ARRAY['active'::text, 'locked'::text, 'disabled'::text])))
);
create table token.tenant_state (
  tenant_id uuid not null,
  status text not null,
  version bigint not null,
  updated_at timestamp with time zone not null default now(),
  constraint tenant_state_pkey PRIMARY KEY (tenant_id),
  constraint tenant_state_status_check CHECK ((status = ANY (ARRAY['active'::text, 'disabled'::text])))
);

CREATE INDEX dead_letter_waiting ON token.dead_letter USING btree (created_at, id) WHERE ((replayed_at IS NULL) AND (discarded_at IS NULL));
CREATE INDEX inbox_received ON token.inbox USING btree (received_at);
CREATE INDEX outbox_pending ON token.outbox USING btree (lane, id) WHERE (published_at IS NULL);
CREATE INDEX outbox_published ON token.outbox USING btree (published_at) WHERE (published_at IS NOT NULL);
CREATE INDEX refresh_token_expiry ON token.refresh_token USING brin (expires_at) WITH (autosummarize='on');
CREATE INDEX session_expiry ON token.session USING btree (expires_at);
CREATE INDEX session_live_by_tenant ON token.session USING btree (tenant_id) WHERE (revoked_at IS NULL);
CREATE INDEX session_live_by_user ON token.session USING btree (user_id) WHERE (revoked_at IS NULL);
CREATE INDEX session_newest ON token.session USING btree (created_at DESC, id DESC);
CREATE INDEX session_newest_of_tenant ON token.session USING btree (tenant_id, created_at DESC, id DESC);
CREATE INDEX session_newest_of_user ON token.session USING btree (user_id, created_at DESC, id DESC);
CREATE UNIQUE INDEX signing_key_single ON token.signing_key USING btree (state) WHERE (state = ANY (ARRAY['next'::text, 'current'::text]));

grant delete, insert, select, update on token.dead_letter to gatehouse_token;
grant delete, insert, select, update on token.inbox to gatehouse_token;
grant delete, insert, select, update on token.outbox to gatehouse_token;
grant usage on token.outbox_sequence_seq to gatehouse_token;
grant delete, insert, select, update on token.refresh_token to gatehouse_token;
grant delete, insert, select, update on token.session to gatehouse_token;
grant delete, insert, select, update on token.signing_key to gatehouse_token;
grant delete, insert, select, update on token.subject to gatehouse_token;
grant delete, insert, select, update on token.tenant_state to gatehouse_token;

alter default privileges in schema token grant delete, insert, select, update on tables to gatehouse_token;
alter default privileges in schema token grant usage on sequences to gatehouse_token;

-- schema audit

grant usage on schema audit to gatehouse_audit;

create table audit.chain (
  chain text not null,
  sequence bigint not null,
  hash bytea not null,
  recorded_at timestamp(3) with time zone not null,
  dropped_sequence bigint not null default 0,
  dropped_hash bytea not null,
  constraint chain_pkey PRIMARY KEY (chain)
) with (fillfactor=50);
create table audit.checkpoint (
  size bigint not null,
  roots bytea[] not null,
  root bytea not null,
  events bigint not null,
  note text not null,
  signed_at timestamp(3) with time zone not null,
  constraint checkpoint_pkey PRIMARY KEY (size)
);
create table audit.dead_letter (
  id uuid not null default gen_random_uuid(),
  consumer text not null,
  event_id uuid,
  type text not null,
  subject text not null,
  headers jsonb not null default '{}'::jsonb,
  payload bytea not null,
  reason text not null,
  deliveries integer not null,
  created_at timestamp with time zone not null default now(),
  replayed_at timestamp with time zone,
  discarded_at timestamp with time zone,
  constraint dead_letter_pkey PRIMARY KEY (id)
);
create table audit.event (
  chain text not null,
  sequence bigint not null,
  id uuid not null,
  recorded_at timestamp(3) with time zone not null,
  occurred_at timestamp(3) with time zone not null,
  type text not null,
  severity text not null,
  outcome text,
  source text not null,
  tenant_id uuid,
  user_id uuid,
  actor text,
  subject text,
  trace_id text,
  data jsonb not null,
  client_ip inet,
  personal jsonb,
  personal_salt bytea,
  personal_digest bytea,
  content_hash bytea not null,
  hash bytea not null
) partition by RANGE (recorded_at);
create table audit.event_default (
  chain text not null,
  sequence bigint not null,
  id uuid not null,
  recorded_at timestamp(3) with time zone not null,
  occurred_at timestamp(3) with time zone not null,
  type text not null,
  severity text not null,
  outcome text,
  source text not null,
  tenant_id uuid,
  user_id uuid,
  actor text,
  subject text,
  trace_id text,
  data jsonb not null,
  client_ip inet,
  personal jsonb,
  personal_salt bytea,
  personal_digest bytea,
  content_hash bytea not null,
  hash bytea not null
) partition of audit.event DEFAULT;
create table audit.fault (
  id uuid not null,
  cause text not null,
  detail text not null,
  note text not null,
  found_at timestamp(3) with time zone not null default now(),
  acknowledged_at timestamp(3) with time zone,
  acknowledged_by text,
  reason text,
  constraint fault_note_key UNIQUE (note),
  constraint fault_pkey PRIMARY KEY (id)
);
create table audit.head (
  index bigint not null,
  chain text not null,
  sequence bigint not null,
  hash bytea not null,
  constraint head_pkey PRIMARY KEY (index)
);
create table audit.inbox (
  consumer text not null,
  event_id uuid not null,
  received_at timestamp with time zone not null default now(),
  constraint inbox_pkey PRIMARY KEY (consumer, event_id)
);
create table audit.outbox (
  id uuid not null,
  lane smallint not null default 1,
  type text not null,
  subject text not null,
  tenant_id uuid,
  aggregate text not null,
  sequence bigint not null generated always as identity,
  data jsonb not null,
  traceparent text,
  occurred_at timestamp with time zone not null default now(),
  published_at timestamp with time zone,
  attempts integer not null default 0,
  constraint outbox_pkey PRIMARY KEY (id)
) with (autovacuum_analyze_scale_factor=0, autovacuum_analyze_threshold=5000, autovacuum_vacuum_cost_delay=0, autovacuum_vacuum_insert_scale_factor=0, autovacuum_vacuum_insert_threshold=10000, autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=1000);

CREATE INDEX dead_letter_waiting ON audit.dead_letter USING btree (created_at, id) WHERE ((replayed_at IS NULL) AND (discarded_at IS NULL));
CREATE INDEX event_by_actor ON ONLY audit.event USING btree (actor, occurred_at DESC, id DESC);
CREATE INDEX event_by_address ON ONLY audit.event USING btree (client_ip, occurred_at DESC, id DESC) WHERE (client_ip IS NOT NULL);
CREATE INDEX event_by_concerned ON ONLY audit.event USING btree (user_id, lower((personal ->> 'email'::text))) WHERE ((personal ? 'email'::text) AND ((user_id IS NULL) OR (actor IS DISTINCT FROM (user_id)::text)));
CREATE INDEX event_by_id ON ONLY audit.event USING btree (id);
CREATE INDEX event_by_outcome ON ONLY audit.event USING btree (outcome, occurred_at DESC, id DESC) WHERE (outcome <> 'success'::text);
CREATE UNIQUE INDEX event_by_place ON ONLY audit.event USING btree (chain, sequence, recorded_at);
CREATE INDEX event_by_severity ON ONLY audit.event USING btree (severity, occurred_at DESC, id DESC) WHERE (severity <> 'info'::text);
CREATE INDEX event_by_subject ON ONLY audit.event USING btree (subject, occurred_at DESC, id DESC);
CREATE INDEX event_by_tenant ON ONLY audit.event USING btree (tenant_id, occurred_at DESC, id DESC);
CREATE INDEX event_by_tenant_outcome ON ONLY audit.event USING btree (tenant_id, outcome, occurred_at DESC, id DESC) WHERE (outcome <> 'success'::text);
CREATE INDEX event_by_tenant_severity ON ONLY audit.event USING btree (tenant_id, severity, occurred_at DESC, id DESC) WHERE (severity <> 'info'::text);
CREATE INDEX event_by_tenant_type ON ONLY audit.event USING btree (tenant_id, type, occurred_at DESC, id DESC);
CREATE INDEX event_by_time ON ONLY audit.event USING btree (occurred_at DESC, id DESC);
CREATE INDEX event_by_trace ON ONLY audit.event USING hash (trace_id);
CREATE INDEX event_by_type ON ONLY audit.event USING btree (type, occurred_at DESC, id DESC);
CREATE INDEX event_by_user ON ONLY audit.event USING btree (user_id, occurred_at DESC, id DESC);
CREATE INDEX event_by_word ON ONLY audit.event USING gin (audit.words(type, subject, data, personal));
CREATE INDEX event_default_actor_occurred_at_id_idx ON audit.event_default USING btree (actor, occurred_at DESC, id DESC);
CREATE UNIQUE INDEX event_default_chain_sequence_recorded_at_idx ON audit.event_default USING btree (chain, sequence, recorded_at);
CREATE INDEX event_default_client_ip_occurred_at_id_idx ON audit.event_default USING btree (client_ip, occurred_at DESC, id DESC) WHERE (client_ip IS NOT NULL);
CREATE INDEX event_default_id_idx ON audit.event_default USING btree (id);
CREATE INDEX event_default_occurred_at_id_idx ON audit.event_default USING btree (occurred_at DESC, id DESC);
CREATE INDEX event_default_outcome_occurred_at_id_idx ON audit.event_default USING btree (outcome, occurred_at DESC, id DESC) WHERE (outcome <> 'success'::text);
CREATE INDEX event_default_severity_occurred_at_id_idx ON audit.event_default USING btree (severity, occurred_at DESC, id DESC) WHERE (severity <> 'info'::text);
CREATE INDEX event_default_subject_occurred_at_id_idx ON audit.event_default USING btree (subject, occurred_at DESC, id DESC);
CREATE INDEX event_default_tenant_id_occurred_at_id_idx ON audit.event_default USING btree (tenant_id, occurred_at DESC, id DESC);
CREATE INDEX event_default_tenant_id_outcome_occurred_at_id_idx ON audit.event_default USING btree (tenant_id, outcome, occurred_at DESC, id DESC) WHERE (outcome <> 'success'::text);
CREATE INDEX event_default_tenant_id_severity_occurred_at_id_idx ON audit.event_default USING btree (tenant_id, severity, occurred_at DESC, id DESC) WHERE (severity <> 'info'::text);
CREATE INDEX event_default_tenant_id_type_occurred_at_id_idx ON audit.event_default USING btree (tenant_id, type, occurred_at DESC, id DESC);
CREATE INDEX event_default_trace_id_idx ON audit.event_default USING hash (trace_id);
CREATE INDEX event_default_type_occurred_at_id_idx ON audit.event_default USING btree (type, occurred_at DESC, id DESC);
CREATE INDEX event_default_user_id_lower_idx ON audit.event_default USING btree (user_id, lower((personal ->> 'email'::text))) WHERE ((personal ? 'email'::text) AND ((user_id IS NULL) OR (actor IS DISTINCT FROM (user_id)::text)));
CREATE INDEX event_default_user_id_occurred_at_id_idx ON audit.event_default USING btree (user_id, occurred_at DESC, id DESC);
CREATE INDEX event_default_words_idx ON audit.event_default USING gin (audit.words(type, subject, data, personal));
CREATE INDEX fault_open ON audit.fault USING btree (found_at) WHERE (acknowledged_at IS NULL);
CREATE INDEX head_by_chain ON audit.head USING btree (chain, sequence DESC);
CREATE INDEX inbox_received ON audit.inbox USING btree (received_at);
CREATE INDEX outbox_pending ON audit.outbox USING btree (lane, id) WHERE (published_at IS NULL);
CREATE INDEX outbox_published ON audit.outbox USING btree (published_at) WHERE (published_at IS NOT NULL);

CREATE OR REPLACE FUNCTION audit.adopted(ids uuid[])
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  delete from audit.event_unchained o
    where o.id = any (ids) and exists (select from audit.event e where e.id = o.id);
end
$function$

CREATE OR REPLACE FUNCTION audit.append(chains text[], ids uuid[], occurred timestamp with time zone[], types text[], severities text[], outcomes text[], sources text[], tenants uuid[], users uuid[], actors text[], subjects text[], traces text[], datas jsonb[], addresses inet[], personals jsonb[], salts bytea[], digests bytea[], contents bytea[])
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  link constant bytea := convert_to('gatehouse/audit/link/1' || chr(10), 'UTF8');
  at timestamptz(3);
  at_ms bytea;
  one record;
  last text;
  place bigint;
  head bytea;
  places bigint[] := array_fill(null::bigint, array[cardinality(ids)]);
  heads bytea[] := array_fill(null::bytea, array[cardinality(ids)]);
begin
  insert into audit.chain (chain, sequence, hash, recorded_at, dropped_hash)
    select c, 0, g, '-infinity', g
    from (select distinct c from unnest(chains) as c) as named,
      lateral (select sha256(link || convert_to('genesis' || chr(10) || c, 'UTF8'))) as begun(g)
    where not exists (select from audit.chain k where k.chain = c)
    order by c
    on conflict do nothing;
  perform from audit.chain k where k.chain = any (chains) order by k.chain for no key update;
  -- The clock may have been set back, or another machine's be behind: within a chain time never falls.
  select greatest(clock_timestamp()::timestamptz(3), max(k.recorded_at)) into at
    from audit.chain k where k.chain = any (chains);
  at_ms := int8send((extract(epoch from at) * 1000)::bigint);
  for one in
    select u.n, u.c, u.content, k.sequence, k.hash
    from unnest(chains, contents) with ordinality as u(c, content, n) join audit.chain k on k.chain = u.c
    order by u.c, u.n
  loop
    if one.c is distinct from last then
      place := one.sequence;
      head := one.hash;
      last := one.c;
    end if;
    place := place + 1;
    head := sha256(link || int8send(place) || at_ms || head || one.content);
    places[one.n] := place;
    heads[one.n] := head;
  end loop;
  update audit.chain k set sequence = l.place, hash = l.head, recorded_at = at
    from (select distinct on (c) c, p as place, h as head from unnest(chains, places, heads) as u(c, p, h)
      order by c, p desc) as l
    where k.chain = l.c;
  insert into audit.event (chain, sequence, id, recorded_at, occurred_at, type, severity, outcome, source, tenant_id,
    user_id, actor, subject, trace_id, data, client_ip, personal, personal_salt, personal_digest, content_hash, hash)
  select u.chain, u.place, u.id, at, u.occurred, u.type, u.severity, u.outcome, u.source, u.tenant, u.usr, u.actor,
    u.subject, u.trace, u.data, u.address, u.personal, u.salt, u.digest, u.content, u.head
  from unnest(chains, places, ids, occurred, types, severities, outcomes, sources, tenants, users, actors, subjects,
    traces, datas, addresses, personals, salts, digests, contents, heads)
    as u(chain, place, id, occurred, type, severity, outcome, source, tenant, usr, actor, subject, trace, data,
      address, personal, salt, digest, content, head);
end
$function$

CREATE OR REPLACE FUNCTION audit.drop_before(day date)
 RETURNS SETOF text
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET "TimeZone" TO 'UTC'
 SET lock_timeout TO '3s'
AS $function$
declare part text;
begin
  -- Two years of clocks gone wrong must not empty the trail: what is younger than a month is never dropped.
  if day is null or day > (clock_timestamp() - interval '31 days')::date then
    raise exception 'the trail of the last 31 days is not dropped' using errcode = 'invalid_parameter_value';
  end if;
  perform pg_advisory_xact_lock(hashtextextended('gatehouse audit.ensure_partition', 0));
  for part in
    select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'audit.event'::regclass and c.relname ~ '^event_[0-9]{6}$'
      and to_date(right(c.relname, 6), 'YYYYMM') + interval '1 month' <= day
    order by c.relname
  loop
    -- One look at the end of each chain: the month itself may have millions of rows.
    execute format($sql$
      update audit.chain k set dropped_sequence = l.sequence, dropped_hash = l.hash
      from audit.chain c, lateral (
        select e.sequence, e.hash from audit.%I e where e.chain = c.chain order by e.sequence desc limit 1) l
      where k.chain = c.chain and k.dropped_sequence < l.sequence$sql$, part);
    execute format('drop table audit.%I', part);
    return next part;
  end loop;
end
$function$

CREATE OR REPLACE FUNCTION audit.drop_unchained()
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
begin
  if to_regclass('audit.event_unchained') is null then return true; end if;
  if exists (select from audit.event_unchained) then return false; end if;
  drop table audit.event_unchained;
  return true;
end
$function$

CREATE OR REPLACE FUNCTION audit.ensure_partition(month date)
 RETURNS text
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET "TimeZone" TO 'UTC'
 SET lock_timeout TO '3s'
AS $function$
declare
  first timestamptz;
  after timestamptz;
  partition text;
begin
  if month is null or month < date '2000-01-01' or month >= date '2200-01-01' then
    raise exception 'month % is outside 2000 to 2199', month using errcode = 'invalid_parameter_value';
  end if;
  first := date_trunc('month', month::timestamp)::timestamptz;
  after := (date_trunc('month', month::timestamp) + interval '1 month')::timestamptz;
  partition := 'event_' || to_char(first, 'YYYYMM');
  perform pg_advisory_xact_lock(hashtextextended('gatehouse audit.ensure_partition', 0));
  if to_regclass('audit.' || partition) is not null then
    return 'exists';
  end if;
  if exists (select from audit.event_default d where d.recorded_at >= first and d.recorded_at < after) then
    return 'blocked';
  end if;
  execute format('create table audit.%I (like audit.event including defaults including constraints)', partition);
  execute format(
    'alter table audit.%I add constraint event_month check (recorded_at is not null and recorded_at >= %L and recorded_at < %L)',
    partition, first, after);
  execute format('alter table audit.event attach partition audit.%I for values from (%L) to (%L)', partition, first, after);
  execute format('alter table audit.%I drop constraint event_month', partition);
  execute format('revoke all on audit.%I from gatehouse_audit, public', partition);
  return 'created';
end
$function$

CREATE OR REPLACE FUNCTION audit.erase(person uuid, of_tenant uuid, before_time timestamp with time zone, before_id uuid, most integer, OUT erased bigint, OUT next_time timestamp with time zone, OUT next_id uuid)
 RETURNS record
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
declare
  emails text[];
  seen bigint;
  others bigint;
begin
  with looked_at as materialized (
    select e.chain, e.sequence, e.recorded_at, e.occurred_at, e.id, e.personal
    from audit.event e
    where e.actor = person::text and (of_tenant is null or e.tenant_id = of_tenant)
      and (before_time is null or (e.occurred_at, e.id) < (before_time, before_id))
    order by e.occurred_at desc, e.id desc limit most
  ), emptied as (
    update audit.event e set client_ip = null, personal = null, personal_salt = null
    from looked_at l
    where l.personal is not null and e.chain = l.chain and e.sequence = l.sequence and e.recorded_at = l.recorded_at
    returning 1
  )
  select (select count(*) from emptied), count(*), last.occurred_at, last.id,
    array_agg(distinct lower(l.personal->>'email')) filter (where l.personal ? 'email')
    into erased, seen, next_time, next_id, emails
    from looked_at l, (select m.occurred_at, m.id from looked_at m order by m.occurred_at, m.id limit 1) last
    group by last.occurred_at, last.id;
  erased := coalesce(erased, 0);
  if seen is distinct from most then
    next_time := null;
    next_id := null;
  end if;
  select array_agg(distinct lower(e.personal->>'email')) || emails into emails
    from audit.event e
    where e.personal ? 'email' and (e.user_id is null or e.actor is distinct from e.user_id::text)
      and e.user_id = person and (of_tenant is null or e.tenant_id = of_tenant);
  update audit.event e set client_ip = null, personal = null, personal_salt = null
    where e.personal ? 'email' and (e.user_id is null or e.actor is distinct from e.user_id::text)
      and (e.user_id = person or (e.user_id is null and lower(e.personal->>'email') = any (emails)))
      and (of_tenant is null or e.tenant_id = of_tenant);
  get diagnostics others = row_count;
  erased := erased + others;
end
$function$

CREATE OR REPLACE FUNCTION audit.words(type text, subject text, data jsonb, personal jsonb)
 RETURNS text[]
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE COST 1000
RETURN audit.words_of(((((((type || ' '::text) || COALESCE(subject, ''::text)) || ' '::text) || (jsonb_path_query_array((data - '{tenant_id,trace_id,occurred_at}'::text[]), '$.**?(@.type() == "string")'::jsonpath))::text) || ' '::text) || COALESCE((jsonb_path_query_array(personal, '$.**?(@.type() == "string")'::jsonpath))::text, ''::text)))

CREATE OR REPLACE FUNCTION audit.words_of(said text)
 RETURNS text[]
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE STRICT
RETURN array_remove(regexp_split_to_array(lower(said), '[][\s"{}(),.;:@/\\+*=?!<>|&%#$~^`'']+'::text), ''::text)


grant select on audit.chain to gatehouse_audit;
grant insert, select on audit.checkpoint to gatehouse_audit;
grant delete, insert, select, update on audit.dead_letter to gatehouse_audit;
grant select on audit.event to gatehouse_audit;
grant insert, select on audit.fault to gatehouse_audit;
grant insert, select on audit.head to gatehouse_audit;
grant delete, insert, select, update on audit.inbox to gatehouse_audit;
grant delete, insert, select, update on audit.outbox to gatehouse_audit;
grant usage on audit.outbox_sequence_seq to gatehouse_audit;

grant execute on function audit.adopted(uuid[]) to gatehouse_audit;
grant execute on function audit.append(text[],uuid[],timestamp with time zone[],text[],text[],text[],text[],uuid[],uuid[],text[],text[],text[],jsonb[],inet[],jsonb[],bytea[],bytea[],bytea[]) to gatehouse_audit;
grant execute on function audit.drop_before(date) to gatehouse_audit;
grant execute on function audit.drop_unchained() to gatehouse_audit;
grant execute on function audit.ensure_partition(date) to gatehouse_audit;
grant execute on function audit.erase(uuid,uuid,timestamp with time zone,uuid,integer) to gatehouse_audit;
grant execute on function audit.words(text,text,jsonb,jsonb) to gatehouse_audit;
grant execute on function audit.words_of(text) to gatehouse_audit;

alter default privileges in schema audit grant insert, select on tables to gatehouse_audit;
alter default privileges in schema audit grant usage on sequences to gatehouse_audit;

-- schema gateway

grant usage on schema gateway to gatehouse_gateway;

create table gateway.dead_letter (
  id uuid not null default gen_random_uuid(),
  consumer text not null,
  event_id uuid,
  type text not null,
  subject text not null,
  headers jsonb not null default '{}'::jsonb,
  payload bytea not null,
  reason text not null,
  deliveries integer not null,
  created_at timestamp with time zone not null default now(),
  replayed_at timestamp with time zone,
  discarded_at timestamp with time zone,
  constraint dead_letter_pkey PRIMARY KEY (id)
);
create table gateway.inbox (
  consumer text not null,
  event_id uuid not null,
  received_at timestamp with time zone not null default now(),
  constraint inbox_pkey PRIMARY KEY (consumer, event_id)
);
create table gateway.outbox (
  id uuid not null,
  lane smallint not null default 1,
  type text not null,
  subject text not null,
  tenant_id uuid,
  aggregate text not null,
  sequence bigint not null generated always as identity,
  data jsonb not null,
  traceparent text,
  occurred_at timestamp with time zone not null default now(),
  published_at timestamp with time zone,
  attempts integer not null default 0,
  constraint outbox_pkey PRIMARY KEY (id)
) with (autovacuum_analyze_scale_factor=0, autovacuum_analyze_threshold=5000, autovacuum_vacuum_cost_delay=0, autovacuum_vacuum_insert_scale_factor=0, autovacuum_vacuum_insert_threshold=10000, autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=1000);

CREATE INDEX dead_letter_waiting ON gateway.dead_letter USING btree (created_at, id) WHERE ((replayed_at IS NULL) AND (discarded_at IS NULL));
CREATE INDEX inbox_received ON gateway.inbox USING btree (received_at);
CREATE INDEX outbox_pending ON gateway.outbox USING btree (lane, id) WHERE (published_at IS NULL);
CREATE INDEX outbox_published ON gateway.outbox USING btree (published_at) WHERE (published_at IS NOT NULL);

grant delete, insert, select, update on gateway.dead_letter to gatehouse_gateway;
grant delete, insert, select, update on gateway.inbox to gatehouse_gateway;
grant delete, insert, select, update on gateway.outbox to gatehouse_gateway;
grant usage on gateway.outbox_sequence_seq to gatehouse_gateway;

alter default privileges in schema gateway grant delete, insert, select, update on tables to gatehouse_gateway;
alter default privileges in schema gateway grant usage on sequences to gatehouse_gateway;

-- schema natsid

grant usage on schema natsid to gatehouse_natsid;

create table natsid.account (
  id uuid not null,
  operator_id uuid not null,
  tenant_id uuid,
  name text not null,
  public_key text not null,
  secret_id uuid,
  kind text not null default 'account'::text,
  claims jsonb not null default '{}'::jsonb,
  expires_at timestamp with time zone,
  jwt text not null,
  jwt_iat bigint not null,
  jwt_sha256 bytea not null,
  issuer_key text not null,
  state text not null default 'active'::text,
  state_at timestamp with time zone not null default now(),
  state_detail text,
  state_due_at timestamp with time zone not null default now(),
  purge_consent boolean not null default false,
  imported boolean not null default false,
  revision bigint not null default 1,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  held boolean not null default false,
  constraint account_kind_check CHECK ((kind = ANY (ARRAY['account'::text, 'system'::text, 'platform'::text]))),
  constraint account_operator_id_fkey FOREIGN KEY (operator_id) REFERENCES natsid.operator(id),
  constraint account_pkey PRIMARY KEY (id),
  constraint account_public_key_key UNIQUE (public_key),
  constraint account_secret_id_fkey FOREIGN KEY (secret_id) REFERENCES natsid.secret(id),
  constraint account_state_check CHECK ((state = ANY (ARRAY['active'::text, 'locked'::text, 'purging'::text, 'deleting'::text, 'deleted'::text])))
);
create table natsid.account_key (
  id uuid not null,
  account_id uuid not null,
  public_key text not null,
  secret_id uuid,
  role_name text,
  scope jsonb,
  revision bigint not null default 1,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint account_key_account_id_fkey FOREIGN KEY (account_id) REFERENCES natsid.account(id) ON DELETE CASCADE,
  constraint account_key_check CHECK (((role_name IS NULL) = (scope IS NULL))),
  constraint account_key_pkey PRIMARY KEY (id),
  constraint account_key_public_key_key UNIQUE (public_key),
  constraint account_key_secret_id_fkey FOREIGN KEY (secret_id) REFERENCES natsid.secret(id)
);
create table natsid.account_sync (
  cluster_id uuid not null,
  account_id uuid not null,
  state text not null default 'pending'::text,
  wanted bigint not null default 1,
  proven bigint not null default 0,
  servers jsonb not null default '{}'::jsonb,
  attempts integer not null default 0,
  next_at timestamp with time zone not null default now(),
  error text,
  proven_at timestamp with time zone,
  constraint account_sync_account_id_fkey FOREIGN KEY (account_id) REFERENCES natsid.account(id) ON DELETE CASCADE,
  constraint account_sync_cluster_id_fkey FOREIGN KEY (cluster_id) REFERENCES natsid.cluster(id) ON DELETE CASCADE,
  constraint account_sync_pkey PRIMARY KEY (cluster_id, account_id),
  constraint account_sync_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'in_sync'::text, 'drifted'::text, 'unreachable'::text, 'operator_key_untrusted'::text, 'refused'::text])))
);
create table natsid.allowance (
  tenant_id uuid not null,
  operator_id uuid not null,
  accounts_max integer not null,
  limits_max jsonb not null default '{}'::jsonb,
  revision bigint not null default 1,
  updated_at timestamp with time zone not null default now(),
  constraint allowance_accounts_max_check CHECK ((accounts_max >= 0)),
  constraint allowance_operator_id_fkey FOREIGN KEY (operator_id) REFERENCES natsid.operator(id) ON DELETE CASCADE,
  constraint allowance_pkey PRIMARY KEY (tenant_id, operator_id)
);
create table natsid.cluster (
  id uuid not null,
  operator_id uuid not null,
  name text not null,
  servers text[] not null,
  secret_id uuid,
  creds_expire_at timestamp with time zone,
  description text not null default ''::text,
  own boolean not null default false,
  resolver text not null default 'unknown'::text,
  health jsonb not null default '{}'::jsonb,
  healthy boolean not null default false,
  checked_at timestamp with time zone,
  check_due_at timestamp with time zone not null default now(),
  sweep_due_at timestamp with time zone not null default now(),
  synced_at timestamp with time zone,
  sync_report jsonb not null default '{}'::jsonb,
  lease_holder uuid,
  lease_until timestamp with time zone,
  full_sync_due_at timestamp with time zone not null default now(),
  revision bigint not null default 1,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint cluster_operator_id_fkey FOREIGN KEY (operator_id) REFERENCES natsid.operator(id),
  constraint cluster_pkey PRIMARY KEY (id),
  constraint cluster_secret_id_fkey FOREIGN KEY (secret_id) REFERENCES natsid.secret(id)
);
create table natsid.cluster_server (
  cluster_id uuid not null,
  server_name text not null,
  server_id text not null,
  version text not null default ''::text,
  state text not null,
  health jsonb not null default '{}'::jsonb,
  seen_at timestamp with time zone not null default now(),
  constraint cluster_server_cluster_id_fkey FOREIGN KEY (cluster_id) REFERENCES natsid.cluster(id) ON DELETE CASCADE,
  constraint cluster_server_pkey PRIMARY KEY (cluster_id, server_name),
  constraint cluster_server_state_check CHECK ((state = ANY (ARRAY['in_sync'::text, 'drifted'::text, 'unreachable'::text, 'operator_key_untrusted'::text])))
);
create table natsid.credential (
  id uuid not null,
  user_id uuid not null,
  account_id uuid not null,
  public_key text not null,
  issuer_key text not null,
  jti text not null,
  jwt_sha256 bytea not null,
  iat bigint not null,
  issued_at timestamp with time zone not null default now(),
  expires_at timestamp with time zone,
  superseded_at timestamp with time zone,
  revoked_at timestamp with time zone,
  last_seen_at timestamp with time zone,
  issued_by text,
  constraint credential_account_id_fkey FOREIGN KEY (account_id) REFERENCES natsid.account(id) ON DELETE CASCADE,
  constraint credential_pkey PRIMARY KEY (id)
);
create table natsid.dead_letter (
  id uuid not null default gen_random_uuid(),
  consumer text not null,
  event_id uuid,
  type text not null,
  subject text not null,
  headers jsonb not null default '{}'::jsonb,
  payload bytea not null,
  reason text not null,
  deliveries integer not null,
  created_at timestamp with time zone not null default now(),
  replayed_at timestamp with time zone,
  discarded_at timestamp with time zone,
  constraint dead_letter_pkey PRIMARY KEY (id)
);
create table natsid.encryption_instance (
  instance_id uuid not null,
  service text not null,
  key_ids text[] not null,
  wanted_key_id text not null,
  started_at timestamp with time zone not null default now(),
  seen_at timestamp with time zone not null default now(),
  constraint encryption_instance_pkey PRIMARY KEY (instance_id)
);
create table natsid.encryption_key (
  id text not null,
  check_value bytea not null,
  state text not null,
  created_at timestamp with time zone not null default now(),
  primary_at timestamp with time zone,
  retiring_at timestamp with time zone,
  drained_at timestamp with time zone,
  destroyed_at timestamp with time zone,
  constraint encryption_key_pkey PRIMARY KEY (id),
  constraint encryption_key_state_check CHECK ((state = ANY (ARRAY['staged'::text, 'primary'::text, 'retiring'::text, 'drained'::text, 'destroyed'::text])))
);
create table natsid.foreign_account (
  cluster_id uuid not null,
  public_key text not null,
  issuer text,
  name text,
  servers text[] not null default '{}'::text[],
  first_seen_at timestamp with time zone not null default now(),
  seen_at timestamp with time zone not null default now(),
  constraint foreign_account_cluster_id_fkey FOREIGN KEY (cluster_id) REFERENCES natsid.cluster(id) ON DELETE CASCADE,
  constraint foreign_account_pkey PRIMARY KEY (cluster_id, public_key)
);
create table natsid.inbox (
  consumer text not null,
  event_id uuid not null,
  received_at timestamp with time zone not null default now(),
  constraint inbox_pkey PRIMARY KEY (consumer, event_id)
);
create table natsid.nats_user (
  id uuid not null,
  account_id uuid not null,
  name text not null,
  public_key text not null,
  secret_id uuid,
  role_id uuid,
  claims jsonb not null default '{}'::jsonb,
  ttl_seconds integer,
  state text not null default 'active'::text,
  last_seen_at timestamp with time zone,
  revision bigint not null default 1,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint nats_user_account_id_fkey FOREIGN KEY (account_id) REFERENCES natsid.account(id) ON DELETE CASCADE,
  constraint nats_user_pkey PRIMARY KEY (id),
  constraint nats_user_public_key_key UNIQUE (public_key),
  constraint nats_user_role_id_fkey FOREIGN KEY (role_id) REFERENCES natsid.account_key(id),
  constraint nats_user_secret_id_fkey FOREIGN KEY (secret_id) REFERENCES natsid.secret(id),
  constraint nats_user_state_check CHECK ((state = ANY (ARRAY['active'::text, 'revoked'::text]))),
  constraint nats_user_ttl_seconds_check CHECK ((ttl_seconds > 0))
);
create table natsid.operator (
  id uuid not null,
  name text not null,
  public_key text not null,
  secret_id uuid,
  claims jsonb not null default '{}'::jsonb,
  jwt text not null,
  jwt_iat bigint not null,
  system_account_id uuid,
  open_to_tenants boolean not null default false,
  own boolean not null default false,
  revision bigint not null default 1,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint operator_pkey PRIMARY KEY (id),
  constraint operator_public_key_key UNIQUE (public_key),
  constraint operator_secret_id_fkey FOREIGN KEY (secret_id) REFERENCES natsid.secret(id),
  constraint operator_system_account FOREIGN KEY (system_account_id) REFERENCES natsid.account(id) DEFERRABLE INITIALLY DEFERRED
);
create table natsid.operator_key (
  id uuid not null,
  operator_id uuid not null,
  public_key text not null,
  secret_id uuid,
  state text not null,
  created_at timestamp with time zone not null default now(),
  constraint operator_key_operator_id_fkey FOREIGN KEY (operator_id) REFERENCES natsid.operator(id) ON DELETE CASCADE,
  constraint operator_key_pkey PRIMARY KEY (id),
  constraint operator_key_public_key_key UNIQUE (public_key),
  constraint operator_key_secret_id_fkey FOREIGN KEY (secret_id) REFERENCES natsid.secret(id),
  constraint operator_key_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'active'::text, 'retiring'::text])))
);
create table natsid.outbox (
  id uuid not null,
  lane smallint not null default 1,
  type text not null,
  subject text not null,
  tenant_id uuid,
  aggregate text not null,
  sequence bigint not null generated always as identity,
  data jsonb not null,
  traceparent text,
  occurred_at timestamp with time zone not null default now(),
  published_at timestamp with time zone,
  attempts integer not null default 0,
  constraint outbox_pkey PRIMARY KEY (id)
) with (autovacuum_analyze_scale_factor=0, autovacuum_analyze_threshold=5000, autovacuum_vacuum_cost_delay=0, autovacuum_vacuum_insert_scale_factor=0, autovacuum_vacuum_insert_threshold=10000, autovacuum_vacuum_scale_factor=0, autovacuum_vacuum_threshold=1000);
create table natsid.reencryption (
  id uuid not null,
  to_key_id text not null,
  state text not null,
  phase text not null default 'rewrap'::text,
  cursor_id text,
  rewrapped bigint not null default 0,
  verified bigint not null default 0,
  total bigint not null default 0,
  error text,
  started_by text,
  started_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  finished_at timestamp with time zone,
  constraint reencryption_phase_check CHECK ((phase = ANY (ARRAY['rewrap'::text, 'services'::text, 'verify'::text]))),
  constraint reencryption_pkey PRIMARY KEY (id),
  constraint reencryption_state_check CHECK ((state = ANY (ARRAY['running'::text, 'done'::text, 'failed'::text, 'cancelled'::text]))),
  constraint reencryption_to_key_id_fkey FOREIGN KEY (to_key_id) REFERENCES natsid.encryption_key(id)
);
create table natsid.revocation (
  account_id uuid not null,
  public_key text not null,
  before bigint not null,
  until timestamp with time zone,
  reason text,
  created_at timestamp with time zone not null default now(),
  constraint revocation_account_id_fkey FOREIGN KEY (account_id) REFERENCES natsid.account(id) ON DELETE CASCADE,
  constraint revocation_pkey PRIMARY KEY (account_id, public_key)
);
create table natsid.secret (
  id uuid not null,
  kind text not null,
  public_key text not null,
  sealed text not null,
  key_id text not null,
  created_at timestamp with time zone not null default now(),
  constraint secret_kind_check CHECK ((kind = ANY (ARRAY['operator'::text, 'operator_signing'::text, 'account'::text, 'account_signing'::text, 'user'::text, 'curve'::text, 'creds'::text, 'canary'::text]))),
  constraint secret_pkey PRIMARY KEY (id)
);

CREATE INDEX account_by_age ON natsid.account USING btree (created_at DESC, id DESC);
CREATE INDEX account_by_issuer ON natsid.account USING btree (issuer_key, id) WHERE (state <> 'deleted'::text);
CREATE INDEX account_by_operator ON natsid.account USING btree (operator_id, created_at DESC, id DESC);
CREATE INDEX account_by_tenant ON natsid.account USING btree (tenant_id, created_at DESC, id DESC);
CREATE INDEX account_key_by_account ON natsid.account_key USING btree (account_id, id DESC);
CREATE UNIQUE INDEX account_key_role ON natsid.account_key USING btree (account_id, lower(role_name)) WHERE (role_name IS NOT NULL);
CREATE UNIQUE INDEX account_name ON natsid.account USING btree (operator_id, COALESCE(tenant_id, '00000000-0000-0000-0000-000000000000'::uuid), lower(name)) WHERE (state <> 'deleted'::text);
CREATE INDEX account_sync_by_account ON natsid.account_sync USING btree (account_id);
CREATE INDEX account_sync_due ON natsid.account_sync USING btree (cluster_id, next_at) WHERE (proven < wanted);
CREATE INDEX account_tenant ON natsid.account USING btree (tenant_id) WHERE ((tenant_id IS NOT NULL) AND (state = ANY (ARRAY['active'::text, 'locked'::text])));
CREATE INDEX account_unfinished ON natsid.account USING btree (state_due_at) WHERE (state <> 'active'::text);
CREATE INDEX cluster_by_operator ON natsid.cluster USING btree (operator_id);
CREATE UNIQUE INDEX cluster_name ON natsid.cluster USING btree (lower(name));
CREATE INDEX credential_by_account ON natsid.credential USING btree (account_id, id DESC);
CREATE INDEX credential_by_hash ON natsid.credential USING btree (jwt_sha256);
CREATE INDEX credential_by_user ON natsid.credential USING btree (user_id, id DESC);
CREATE INDEX dead_letter_waiting ON natsid.dead_letter USING btree (created_at, id) WHERE ((replayed_at IS NULL) AND (discarded_at IS NULL));
CREATE UNIQUE INDEX encryption_key_primary ON natsid.encryption_key USING btree (state) WHERE (state = 'primary'::text);
CREATE INDEX inbox_received ON natsid.inbox USING btree (received_at);
CREATE INDEX nats_user_by_account ON natsid.nats_user USING btree (account_id, id DESC);
CREATE INDEX nats_user_by_role ON natsid.nats_user USING btree (role_id) WHERE (role_id IS NOT NULL);
CREATE UNIQUE INDEX nats_user_name ON natsid.nats_user USING btree (account_id, lower(name));
CREATE INDEX operator_key_by_operator ON natsid.operator_key USING btree (operator_id);
CREATE UNIQUE INDEX operator_name ON natsid.operator USING btree (lower(name));
CREATE UNIQUE INDEX operator_own ON natsid.operator USING btree (own) WHERE own;
CREATE INDEX outbox_pending ON natsid.outbox USING btree (lane, id) WHERE (published_at IS NULL);
CREATE INDEX outbox_published ON natsid.outbox USING btree (published_at) WHERE (published_at IS NOT NULL);
CREATE UNIQUE INDEX reencryption_single ON natsid.reencryption USING btree (state) WHERE (state = 'running'::text);
CREATE INDEX revocation_until ON natsid.revocation USING btree (until) WHERE (until IS NOT NULL);
CREATE INDEX secret_by_key ON natsid.secret USING btree (key_id, id);
CREATE UNIQUE INDEX secret_canary ON natsid.secret USING btree (kind) WHERE (kind = 'canary'::text);
CREATE INDEX secret_legacy ON natsid.secret USING btree (id) WHERE (sealed ~~ 'encrypted:%'::text);

grant delete, insert, select, update on natsid.account to gatehouse_natsid;
grant delete, insert, select, update on natsid.account_key to gatehouse_natsid;
grant delete, insert, select, update on natsid.account_sync to gatehouse_natsid;
grant delete, insert, select, update on natsid.allowance to gatehouse_natsid;
grant delete, insert, select, update on natsid.cluster to gatehouse_natsid;
grant delete, insert, select, update on natsid.cluster_server to gatehouse_natsid;
grant delete, insert, select, update on natsid.credential to gatehouse_natsid;
grant delete, insert, select, update on natsid.dead_letter to gatehouse_natsid;
grant delete, insert, select, update on natsid.encryption_instance to gatehouse_natsid;
grant delete, insert, select, update on natsid.encryption_key to gatehouse_natsid;
grant delete, insert, select, update on natsid.foreign_account to gatehouse_natsid;
grant delete, insert, select, update on natsid.inbox to gatehouse_natsid;
grant delete, insert, select, update on natsid.nats_user to gatehouse_natsid;
grant delete, insert, select, update on natsid.operator to gatehouse_natsid;
grant delete, insert, select, update on natsid.operator_key to gatehouse_natsid;
grant delete, insert, select, update on natsid.outbox to gatehouse_natsid;
grant usage on natsid.outbox_sequence_seq to gatehouse_natsid;
grant delete, insert, select, update on natsid.reencryption to gatehouse_natsid;
grant delete, insert, select, update on natsid.revocation to gatehouse_natsid;
grant delete, insert, select, update on natsid.secret to gatehouse_natsid;

alter default privileges in schema natsid grant delete, insert, select, update on tables to gatehouse_natsid;
alter default privileges in schema natsid grant usage on sequences to gatehouse_natsid;

