/** The audit trail: monthly partitions, append-only for the service's role. */
export const up = `
create table audit.event (
  id uuid not null,
  -- Milliseconds, because cursors carry this value through JavaScript dates: with microseconds in the column a page
  -- would lose or repeat rows at its edge.
  occurred_at timestamptz(3) not null,
  type text not null,
  severity text not null,
  outcome text,
  source text not null,
  tenant_id uuid,
  user_id uuid,
  actor text,
  subject text,
  client_ip text,
  user_agent text,
  trace_id text,
  data jsonb not null,
  recorded_at timestamptz not null default now(),
  primary key (occurred_at, id)
) partition by range (occurred_at);
create index event_by_tenant on audit.event (tenant_id, occurred_at desc, id desc);
create index event_by_type on audit.event (type, occurred_at desc);
create index event_by_user on audit.event (user_id, occurred_at desc);

-- Catches what no month covers (a clock far off, a job that did not run), so that no event is ever refused.
create table audit.event_default partition of audit.event default;

-- Makes the partition of the month that holds the given day. Says 'created', 'exists', or 'blocked' when the default
-- partition already holds rows of that month (Postgres would refuse; nothing is moved here).
-- It runs with the rights of its owner, because the service's role may not create tables; hence the fixed search_path.
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
  -- One at a time, until commit: 'if not exists' alone is no protection against a race.
  perform pg_advisory_xact_lock(hashtextextended('gatehouse audit.ensure_partition', 0));
  if to_regclass('audit.' || partition) is not null then
    return 'exists';
  end if;
  if exists (select from audit.event_default d where d.occurred_at >= first and d.occurred_at < after) then
    return 'blocked';
  end if;
  -- Made aside and then attached: 'partition of' would lock the whole table against readers and writers.
  execute format('create table audit.%I (like audit.event including defaults including constraints)', partition);
  execute format(
    'alter table audit.%I add constraint event_month check (occurred_at is not null and occurred_at >= %L and occurred_at < %L)',
    partition, first, after);
  execute format('alter table audit.event attach partition audit.%I for values from (%L) to (%L)', partition, first, after);
  execute format('alter table audit.%I drop constraint event_month', partition);
  -- Reached through the parent only. The default privileges have just granted more than that.
  execute format('revoke all on audit.%I from gatehouse_audit, public', partition);
  return 'created';
end
$function$;
revoke all on function audit.ensure_partition(date) from public;
grant execute on function audit.ensure_partition(date) to gatehouse_audit;

revoke all on audit.event, audit.event_default from gatehouse_audit, public;
grant select, insert on audit.event to gatehouse_audit;

select audit.ensure_partition((date_trunc('month', now() at time zone 'UTC') + make_interval(months => n))::date)
from generate_series(-1, 1) as n;
`;

export const down = `
drop function audit.ensure_partition(date);
drop table audit.event;
`;
