import * as before from './0004-audit.ts';
import * as eventId from './0006-audit-event-id.ts';

/**
 * The audit trail as hash chains, one a tenant, and a log of their heads that is signed.
 *
 * Partitioned by when an event was recorded and no longer by when it happened: within a chain that is the order of the
 * sequence, so that dropping a month drops a beginning of each chain and nothing else. Rows of before stay in
 * audit.event_unchained until the service has put them into the chains (adopt.ts).
 */
export const up = `
drop function audit.ensure_partition(date);
create table audit.event_unchained (like audit.event, primary key (occurred_at, id));
insert into audit.event_unchained select * from audit.event;
drop table audit.event;
revoke all on audit.event_unchained from gatehouse_audit;
grant select on audit.event_unchained to gatehouse_audit;

create table audit.event (
  chain text not null,
  sequence bigint not null,
  id uuid not null,
  -- Never falls within a chain. Milliseconds, because cursors carry it through JavaScript dates.
  recorded_at timestamptz(3) not null,
  occurred_at timestamptz(3) not null,
  type text not null,
  severity text not null,
  outcome text,
  source text not null,
  tenant_id uuid,
  user_id uuid,
  actor text,
  subject text,
  trace_id text,
  -- Without what is personal: that is in the next three, which audit.erase() empties. Only a digest of it is hashed.
  data jsonb not null,
  client_ip inet,
  personal jsonb,
  personal_salt bytea,
  personal_digest bytea,
  content_hash bytea not null,
  hash bytea not null
) partition by range (recorded_at);
create unique index event_by_place on audit.event (chain, sequence, recorded_at);
create index event_by_id on audit.event (id);
create index event_by_time on audit.event (occurred_at desc, id desc);
create index event_by_tenant on audit.event (tenant_id, occurred_at desc, id desc);
create index event_by_type on audit.event (type, occurred_at desc, id desc);
create index event_by_user on audit.event (user_id, occurred_at desc, id desc);

create table audit.event_default partition of audit.event default;

-- Where each chain stands. 'dropped_*': the last record that retention has dropped, the root of what is left.
create table audit.chain (
  chain text primary key,
  sequence bigint not null,
  hash bytea not null,
  recorded_at timestamptz(3) not null,
  dropped_sequence bigint not null default 0,
  dropped_hash bytea not null
) with (fillfactor = 50);

-- The log of heads (RFC 6962): one entry for a chain that went on since the checkpoint before.
create table audit.head (
  index bigint primary key,
  chain text not null,
  sequence bigint not null,
  hash bytea not null
);
create index head_by_chain on audit.head (chain, sequence desc);

create table audit.checkpoint (
  size bigint primary key,
  -- Roots of the complete subtrees, the largest first: what the tree grows on from.
  roots bytea[] not null,
  root bytea not null,
  -- All records of all chains at that moment.
  events bigint not null,
  note text not null,
  signed_at timestamptz(3) not null
);

create function audit.ensure_partition(month date) returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set lock_timeout = '3s'
as $function$
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
$function$;

-- Appends records, in the order given within each chain, and answers with what each chain's head has become. The one
-- way in: the service's role may call it and may neither insert, change nor delete by itself. Heads are locked in the
-- order of their names, so that two batches wait for each other and do not deadlock.
create function audit.append(
  chains text[], ids uuid[], occurred timestamptz[], types text[], severities text[], outcomes text[], sources text[],
  tenants uuid[], users uuid[], actors text[], subjects text[], traces text[], datas jsonb[], addresses inet[],
  personals jsonb[], salts bytea[], digests bytea[], contents bytea[], out chain text, out sequence bigint, out hash bytea
) returns setof record
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $function$
#variable_conflict use_column
declare
  link constant bytea := convert_to('gatehouse/audit/link/1' || chr(10), 'UTF8');
  at timestamptz(3);
  one record;
  i int;
  next_sequence bigint;
  next_hash bytea;
  sequences bigint[] := array_fill(null::bigint, array[cardinality(ids)]);
  hashes bytea[] := array_fill(null::bytea, array[cardinality(ids)]);
begin
  insert into audit.chain (chain, sequence, hash, recorded_at, dropped_hash)
    select c, 0, g, '-infinity', g
    from (select distinct c from unnest(chains) as c) as named,
      lateral (select sha256(link || convert_to('genesis' || chr(10) || c, 'UTF8'))) as begun(g)
    where not exists (select from audit.chain k where k.chain = c)
    order by c
    on conflict do nothing;
  perform from audit.chain k where k.chain = any (chains) order by k.chain for no key update;
  at := clock_timestamp();
  for one in
    select k.chain, k.sequence, k.hash, k.recorded_at from audit.chain k where k.chain = any (chains)
  loop
    -- The clock may have been set back, or another machine's be behind: within a chain time never falls.
    at := greatest(at, one.recorded_at);
  end loop;
  for one in
    select k.chain, k.sequence, k.hash from audit.chain k where k.chain = any (chains)
  loop
    next_sequence := one.sequence;
    next_hash := one.hash;
    foreach i in array (select array_agg(n order by n) from unnest(chains) with ordinality as u(c, n) where u.c = one.chain)
    loop
      next_sequence := next_sequence + 1;
      next_hash := sha256(link || int8send(next_sequence) || next_hash || contents[i]);
      sequences[i] := next_sequence;
      hashes[i] := next_hash;
    end loop;
    update audit.chain k set sequence = next_sequence, hash = next_hash, recorded_at = at where k.chain = one.chain;
    chain := one.chain;
    sequence := next_sequence;
    hash := next_hash;
    return next;
  end loop;
  insert into audit.event (chain, sequence, id, recorded_at, occurred_at, type, severity, outcome, source, tenant_id,
    user_id, actor, subject, trace_id, data, client_ip, personal, personal_salt, personal_digest, content_hash, hash)
  select u.chain, u.sequence, u.id, at, u.occurred, u.type, u.severity, u.outcome, u.source, u.tenant, u.usr, u.actor,
    u.subject, u.trace, u.data, u.address, u.personal, u.salt, u.digest, u.content, u.hash
  from unnest(chains, sequences, ids, occurred, types, severities, outcomes, sources, tenants, users, actors, subjects,
    traces, datas, addresses, personals, salts, digests, contents, hashes)
    as u(chain, sequence, id, occurred, type, severity, outcome, source, tenant, usr, actor, subject, trace, data,
      address, personal, salt, digest, content, hash);
end
$function$;

-- Empties the personal fields of everything that is about a user; the digests stay, and with them the chains.
create function audit.erase(person uuid) returns bigint
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $function$
declare erased bigint;
begin
  update audit.event set client_ip = null, personal = null, personal_salt = null
    where user_id = person and personal is not null;
  get diagnostics erased = row_count;
  return erased;
end
$function$;

-- Drops the months that ended before the given day, oldest first, and notes the root of what it drops.
create function audit.drop_before(day date) returns setof text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set lock_timeout = '3s'
as $function$
declare part text;
begin
  -- Two years of clocks gone wrong must not empty the trail: what is younger than a month is never dropped.
  if day > (clock_timestamp() - interval '31 days')::date then
    raise exception 'the trail of the last 31 days is not dropped' using errcode = 'invalid_parameter_value';
  end if;
  perform pg_advisory_xact_lock(hashtextextended('gatehouse audit.ensure_partition', 0));
  for part in
    select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
    where i.inhparent = 'audit.event'::regclass and c.relname ~ '^event_[0-9]{6}$'
      and to_date(right(c.relname, 6), 'YYYYMM') + interval '1 month' <= day
    order by c.relname
  loop
    execute format($sql$
      update audit.chain k set dropped_sequence = l.sequence, dropped_hash = l.hash
      from (select distinct on (chain) chain, sequence, hash from audit.%I order by chain, sequence desc) l
      where k.chain = l.chain and k.dropped_sequence < l.sequence$sql$, part);
    execute format('drop table audit.%I', part);
    return next part;
  end loop;
end
$function$;

-- Gone when every row of it is in the chains.
create function audit.drop_unchained() returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
  if to_regclass('audit.event_unchained') is null then return true; end if;
  if exists (select from audit.event_unchained o where not exists (select from audit.event e where e.id = o.id)) then
    return false;
  end if;
  drop table audit.event_unchained;
  return true;
end
$function$;

revoke all on function audit.ensure_partition(date), audit.erase(uuid), audit.drop_before(date), audit.drop_unchained(),
  audit.append(text[], uuid[], timestamptz[], text[], text[], text[], text[], uuid[], uuid[], text[], text[], text[],
    jsonb[], inet[], jsonb[], bytea[], bytea[], bytea[]) from public;
grant execute on function audit.ensure_partition(date), audit.erase(uuid), audit.drop_before(date), audit.drop_unchained(),
  audit.append(text[], uuid[], timestamptz[], text[], text[], text[], text[], uuid[], uuid[], text[], text[], text[],
    jsonb[], inet[], jsonb[], bytea[], bytea[], bytea[]) to gatehouse_audit;

revoke all on audit.event, audit.event_default, audit.chain, audit.head, audit.checkpoint from gatehouse_audit, public;
grant select on audit.event, audit.chain to gatehouse_audit;
grant select, insert on audit.head, audit.checkpoint to gatehouse_audit;

select audit.ensure_partition((date_trunc('month', now() at time zone 'UTC') + make_interval(months => n))::date)
from generate_series(0, 1) as n;
`;

// Downwards the chains are lost, the events are not: they go back to where they were, with what is left of the personal.
export const down = `
create temporary table kept on commit drop as
select id, occurred_at, type, severity, outcome, source, tenant_id, user_id, actor, subject, host(client_ip) as client_ip,
  personal->>'user_agent' as user_agent, trace_id, data || coalesce(personal, '{}') as data, recorded_at::timestamptz
from audit.event;
do $do$
begin
  if to_regclass('audit.event_unchained') is not null then
    insert into kept select * from audit.event_unchained;
    drop table audit.event_unchained;
  end if;
end
$do$;
drop function audit.append(text[], uuid[], timestamptz[], text[], text[], text[], text[], uuid[], uuid[], text[], text[],
  text[], jsonb[], inet[], jsonb[], bytea[], bytea[], bytea[]);
drop function audit.erase(uuid);
drop function audit.drop_before(date);
drop function audit.drop_unchained();
drop function audit.ensure_partition(date);
drop table audit.checkpoint, audit.head, audit.event, audit.chain;
${before.up}
${eventId.up}
insert into audit.event select * from kept on conflict do nothing;
`;
