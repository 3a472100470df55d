import * as before from './0004-audit.ts';
import * as eventId from './0006-audit-event-id.ts';

/**
 * The audit trail as hash chains, one a tenant, and a log of their heads that is signed.
 *
 * Partitioned by when an event was recorded and no longer by when it happened: within a chain that is the order of the
 * sequence, so that dropping a month drops a beginning of each chain and nothing else. Rows of before are set aside as
 * they are, in audit.event_unchained, until the service has put them into the chains (adopt.ts).
 */
export const up = `
drop function audit.ensure_partition(date);
do $do$
declare item record;
begin
  if not exists (select from audit.event) then
    drop table audit.event;
    return;
  end if;
  -- Renamed and not copied: a long trail would be hours of migration.
  for item in
    select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'audit.event'::regclass
  loop
    execute format('alter table audit.%I rename to %I', item.relname, replace(item.relname, 'event_', 'event_unchained_'));
  end loop;
  for item in
    select c.relname from pg_index x join pg_class c on c.oid = x.indexrelid where x.indrelid = 'audit.event'::regclass
  loop
    execute format('alter index audit.%I rename to %I', item.relname, replace(item.relname, 'event_', 'event_unchained_'));
  end loop;
  alter table audit.event rename to event_unchained;
  revoke all on audit.event_unchained from gatehouse_audit;
  grant select on audit.event_unchained to gatehouse_audit;
end
$do$;

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
create index event_by_actor on audit.event (actor, occurred_at desc, id desc);
-- What tells of an e-mail of somebody else than who acted: attempts of a stranger, and what administrators did to a
-- person. An erasure finds both by it, past the millions of rows that a person may have.
create index event_by_concerned on audit.event (user_id, lower(personal->>'email'))
  where personal ? 'email' and (user_id is null or actor is distinct from user_id::text);

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

-- Checkpoints kept outside that are not in this log. While one is open nothing is signed: it would be signed on a fork.
create table audit.fault (
  id uuid primary key,
  cause text not null,
  detail text not null,
  note text not null unique,
  found_at timestamptz(3) not null default now(),
  acknowledged_at timestamptz(3),
  acknowledged_by text,
  reason text
);
create index fault_open on audit.fault (found_at) where acknowledged_at is null;

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

-- Appends records, in the order given within each chain. The one way in: the service's role may call it and may neither
-- insert, change nor delete by itself. Heads are begun and locked in the order of their names, so that two batches wait
-- for each other and do not deadlock. The hashes are those of packages/audit-chain: chain.ts, genesis and nextHead.
create function audit.append(
  chains text[], ids uuid[], occurred timestamptz[], types text[], severities text[], outcomes text[], sources text[],
  tenants uuid[], users uuid[], actors text[], subjects text[], traces text[], datas jsonb[], addresses inet[],
  personals jsonb[], salts bytea[], digests bytea[], contents bytea[]
) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $function$
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
$function$;

-- Empties the personal fields of what one person did; the digests stay, and with them the chains. Looks at no more than
-- 'most' rows of the person, from 'before' backwards; of one tenant unless that is null. Then at what others did to the
-- person and has the person's e-mail in it, and at what was tried under the person's e-mails while they were nobody's.
-- Answers with what it emptied, and where to go on: null when at the end.
create function audit.erase(person uuid, of_tenant uuid, before_time timestamptz, before_id uuid, most int,
  out erased bigint, out next_time timestamptz, out next_id uuid)
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $function$
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
$function$;

-- Takes rows away that were there before the chains and are in them now.
create function audit.adopted(ids uuid[]) returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
  delete from audit.event_unchained o
    where o.id = any (ids) and exists (select from audit.event e where e.id = o.id);
end
$function$;

-- The table of what was there before the chains goes when nothing is left in it.
create function audit.drop_unchained() returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
  if to_regclass('audit.event_unchained') is null then return true; end if;
  if exists (select from audit.event_unchained) then return false; end if;
  drop table audit.event_unchained;
  return true;
end
$function$;

revoke all on function audit.ensure_partition(date), audit.erase(uuid, uuid, timestamptz, uuid, int),
  audit.drop_before(date), audit.adopted(uuid[]), audit.drop_unchained(),
  audit.append(text[], uuid[], timestamptz[], text[], text[], text[], text[], uuid[], uuid[], text[], text[], text[],
    jsonb[], inet[], jsonb[], bytea[], bytea[], bytea[]) from public;
grant execute on function audit.ensure_partition(date), audit.erase(uuid, uuid, timestamptz, uuid, int),
  audit.drop_before(date), audit.adopted(uuid[]), audit.drop_unchained(),
  audit.append(text[], uuid[], timestamptz[], text[], text[], text[], text[], uuid[], uuid[], text[], text[], text[],
    jsonb[], inet[], jsonb[], bytea[], bytea[], bytea[]) to gatehouse_audit;

revoke all on audit.event, audit.event_default, audit.chain, audit.head, audit.checkpoint, audit.fault
  from gatehouse_audit, public;
grant select on audit.event, audit.chain to gatehouse_audit;
grant select, insert on audit.head, audit.checkpoint, audit.fault to gatehouse_audit;
grant update (acknowledged_at, acknowledged_by, reason) on audit.fault to gatehouse_audit;

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
drop function audit.erase(uuid, uuid, timestamptz, uuid, int);
drop function audit.adopted(uuid[]);
drop function audit.drop_before(date);
drop function audit.drop_unchained();
drop function audit.ensure_partition(date);
drop table audit.fault, audit.checkpoint, audit.head, audit.event, audit.chain;
${before.up}
${eventId.up}
insert into audit.event select * from kept on conflict do nothing;
`;
