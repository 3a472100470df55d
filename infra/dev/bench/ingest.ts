import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Installation } from '@gatehouse/embedded';
import pg from 'pg';
import { type Measurement, onInstallation, query } from './bench.ts';
import { rate } from './report.ts';

const events = 30_000;
/** As many as a consumer takes into one transaction (batchMax in packages/kit/src/consume.ts). */
const batchRows = 128;
const tenants = Array.from({ length: 20 }, () => randomUUID());

/**
 * A stream full of events, taken up by the audit service with inbox, hash chains and all, against plain inserts of the
 * very rows that came of it, in batches of the same size, into a table with the same partitions and indexes.
 */
export const ingest: Measurement = async ({ say }) => {
  say('ingest');
  return onInstallation({ mode: 'split' }, async (installation) => {
    await installation.stopService('audit');
    await fillStream(installation);
    await installation.startService('audit');
    const recorded = await recordedPerSecond(installation);
    say(`  recorded: ${rate(recorded)}`);
    await installation.stopService('audit');
    const raw = await rawPerSecond(installation);
    say(`  raw: ${rate(raw)}`);
    return [
      {
        what: `audit ingest with hash chains, ${events} events of ${tenants.length} tenants from the stream`,
        value: rate(recorded),
        raw: `${rate(raw)} (the same rows inserted ${batchRows} at a time, same indexes, one connection)`,
        ratio: recorded / raw,
        bar: '≥ 0.4',
        met: recorded / raw >= 0.4,
      },
    ];
  });
};

/** Sign-ins and refreshes as token and auth tell them, published by token's relay. */
async function fillStream(installation: Installation): Promise<void> {
  const client = new pg.Client({ connectionString: installation.databaseUrl });
  await client.connect();
  try {
    await client.query(
      `insert into token.outbox (id, lane, type, subject, tenant_id, aggregate, data, traceparent)
       select gen_random_uuid(), 1, t.type, t.type, tenant, 'session:' || gen_random_uuid(),
         jsonb_build_object('user_id', gen_random_uuid(), 'session_id', gen_random_uuid(), 'client_ip',
           '192.0.2.' || n % 250, 'user_agent', 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0'),
         '00-' || replace(gen_random_uuid()::text, '-', '') || '-4ab5494aed4beb64-00'
       from generate_series(1, $1::int) as n,
         lateral (select ($2::uuid[])[1 + n % cardinality($2::uuid[])]) as of(tenant),
         lateral (select (array['session.refreshed', 'session.created'])[1 + n % 2]) as t(type)`,
      [events, tenants],
    );
    for (;;) {
      const { rows } = await client.query('select from token.outbox where published_at is null limit 1');
      if (rows.length === 0) return;
      await delay(200);
    }
  } finally {
    await client.end();
  }
}

// By the rows' own times: the start of the process is not part of it, and the last tenth is left out, where the stream
// runs dry.
async function recordedPerSecond(installation: Installation): Promise<number> {
  for (;;) {
    const [row] = await query<{ done: number; per_second: number }>(
      installation,
      `select count(*)::int as done,
         count(*) filter (where place between ${events * 0.1} and ${events * 0.9}) / nullif(extract(epoch from
           max(recorded_at) filter (where place <= ${events * 0.9}) -
           min(recorded_at) filter (where place >= ${events * 0.1})), 0)::float8 as per_second
       from (select recorded_at, row_number() over (order by recorded_at) as place
         from audit.event where type in ('session.refreshed', 'session.created') and tenant_id is not null) as e`,
    );
    if (row !== undefined && row.done >= events) return row.per_second;
    await delay(1000);
  }
}

const columns =
  `chain text, sequence bigint, id uuid, recorded_at timestamptz, occurred_at timestamptz, type text,
  severity text, outcome text, source text, tenant_id uuid, user_id uuid, actor text, subject text, trace_id text,
  data jsonb, client_ip inet, personal jsonb, personal_salt bytea, personal_digest bytea, content_hash bytea,
  hash bytea`
    .split(',')
    .map((column) => column.trim().split(/\s+/) as [name: string, type: string]);

async function rawPerSecond(installation: Installation): Promise<number> {
  const client = new pg.Client({
    connectionString: installation.databaseUrl,
    types: { getTypeParser: () => (text: string) => text },
  });
  await client.connect();
  try {
    await client.query(
      `create table audit.raw (like audit.event including all) partition by range (recorded_at);
       create table audit.raw_default partition of audit.raw default;
       create table audit.raw_rows partition of audit.raw for values from ('2000-01-01') to ('2200-01-01')`,
    );
    const { rows } = await client.query<Record<string, string | null>>(
      `select ${columns.map(([name]) => `${name}::text`).join(', ')} from audit.event
       where type in ('session.refreshed', 'session.created') order by recorded_at, chain, sequence limit ${events}`,
    );
    const names = columns.map(([name]) => name).join(', ');
    const arrays = columns.map(([, type], at) => `$${at + 1}::${type}[]`).join(', ');
    const insert = {
      name: 'raw',
      text: `insert into audit.raw (${names}) select * from unnest(${arrays})`,
    };
    const batches = Array.from({ length: Math.ceil(rows.length / batchRows) }, (_, at) => {
      const batch = rows.slice(at * batchRows, (at + 1) * batchRows);
      return columns.map(([name]) => batch.map((row) => row[name] ?? null));
    });
    const begun = performance.now();
    for (const values of batches) await client.query({ ...insert, values });
    return rows.length / ((performance.now() - begun) / 1000);
  } finally {
    await client.end();
  }
}
