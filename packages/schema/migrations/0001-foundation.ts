/**
 * One Postgres schema a service, its grants, and the three tables that every service has: outbox, inbox, dead letters.
 *
 * The roles are objects of the cluster, not of this database: migrate.ts (or infra/postgres/roles.sql) makes them
 * before any migration runs, and no `down` drops them, because other databases of the cluster may use them.
 */
const services = ['auth', 'token', 'audit', 'gateway'] as const;

const createSchema = (name: string): string => `
create schema ${name};
grant usage on schema ${name} to gatehouse_${name};
-- Tables of later migrations are covered by these; they hold for tables made by the user who runs this.
alter default privileges in schema ${name} grant select, insert${
  // What audit has recorded it may never change: its role gets update and delete table by table (below), never by default.
  name === 'audit' ? '' : ', update, delete'
} on tables to gatehouse_${name};
alter default privileges in schema ${name} grant usage on sequences to gatehouse_${name};

create table ${name}.outbox (
  id uuid primary key,
  lane smallint not null default 1,
  type text not null,
  subject text not null,
  tenant_id uuid,
  aggregate text not null,
  sequence bigint not null generated always as identity,
  data jsonb not null,
  traceparent text,
  occurred_at timestamptz not null default now(),
  published_at timestamptz,
  attempts integer not null default 0
) with (
  -- A queue: nearly every row is updated once and deleted soon after. Without this the dead rows pile up at the
  -- front of the pending index and each sweep of the relay reads through them.
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0,
  autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 10000,
  autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 5000
);
create index outbox_pending on ${name}.outbox (lane, id) where published_at is null;
create index outbox_published on ${name}.outbox (published_at) where published_at is not null;

create table ${name}.inbox (
  consumer text not null,
  event_id uuid not null,
  received_at timestamptz not null default now(),
  primary key (consumer, event_id)
);
create index inbox_received on ${name}.inbox (received_at);

create table ${name}.dead_letter (
  id uuid primary key default gen_random_uuid(),
  consumer text not null,
  event_id uuid,
  type text not null,
  subject text not null,
  headers jsonb not null default '{}',
  payload bytea not null,
  reason text not null,
  deliveries integer not null,
  created_at timestamptz not null default now(),
  replayed_at timestamptz
);
create index dead_letter_open on ${name}.dead_letter (created_at) where replayed_at is null;

grant select, insert, update, delete on ${name}.outbox, ${name}.inbox, ${name}.dead_letter to gatehouse_${name};
grant usage on schema gatehouse to gatehouse_${name};
grant select on gatehouse.kysely_migration, gatehouse.kysely_migration_lock to gatehouse_${name};
`;

const dropSchema = (name: string): string => `
revoke select on gatehouse.kysely_migration, gatehouse.kysely_migration_lock from gatehouse_${name};
revoke usage on schema gatehouse from gatehouse_${name};
drop table ${name}.outbox, ${name}.inbox, ${name}.dead_letter;
alter default privileges in schema ${name} revoke all on tables from gatehouse_${name};
alter default privileges in schema ${name} revoke all on sequences from gatehouse_${name};
drop schema ${name};
`;

export const up = `
revoke all on schema public from public;
${services.map(createSchema).join('')}`;

export const down = `
${services.map(dropSchema).join('')}
grant usage on schema public to public;
`;
