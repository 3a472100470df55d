import { type Installation, startInstallation } from '@gatehouse/embedded';
import pg from 'pg';
import { asShipped, post } from './bench.ts';

/** Records of the trail that searches and exports are measured on. */
export const trailRows = Number(process.env.BENCH_AUDIT_ROWS ?? 5_000_000);
const MONTHS = 12;

/** An installation with a long trail: a year of it, 20 tenants, one of which has half. */
export interface Trail {
  readonly installation: Installation;
  readonly token: string;
  /** One query as the owner. */
  query<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>;
}

let made: Promise<Trail> | undefined;

/** Makes it once for all measurements of a run: filling takes minutes. */
export function trail(say: (line: string) => void): Promise<Trail> {
  made ??= make(say);
  return made;
}

/** Takes it down, if there is one. */
export async function closeTrail(): Promise<void> {
  await (await made?.catch(() => undefined))?.installation.close();
}

async function make(say: (line: string) => void): Promise<Trail> {
  const installation = await startInstallation({ mode: 'split', env: asShipped, searchLogs: false });
  const { databaseUrl, url, admin } = installation;
  const query: Trail['query'] = async (text, values = []) => {
    const client = new pg.Client({ connectionString: databaseUrl });
    await client.connect();
    try {
      return (await client.query(text, values)).rows;
    } finally {
      await client.end();
    }
  };
  const begun = performance.now();
  say(`filling the trail with ${trailRows} records`);
  await fill(query, say);
  say(`  filled in ${Math.round((performance.now() - begun) / 1000)} s`);
  const signedIn = (await post(url, '/api/auth/login', admin)) as { access_token: string };
  return { installation, query, token: signedIn.access_token };
}

async function fill(query: Trail['query'], say: (line: string) => void): Promise<void> {
  const indexes = await query<{ name: string; definition: string }>(
    `select c.relname as name, pg_get_indexdef(i.indexrelid) as definition
     from pg_index i join pg_class c on c.oid = i.indexrelid
     where i.indrelid = 'audit.event'::regclass and c.relname <> 'event_by_place'`,
  );
  await query(`select audit.ensure_partition((date_trunc('month', now()) - make_interval(months => n))::date)
    from generate_series(0, ${MONTHS + 1}) as n`);
  // Building an index over what is there costs a tenth of keeping it while rows come.
  for (const { name } of indexes) await query(`drop index audit.${name}`);
  const step = 250_000;
  for (let from = 0; from < trailRows; from += step)
    await query(rowsSql, [from, Math.min(from + step, trailRows), trailRows]);
  await query(`insert into audit.chain (chain, sequence, hash, recorded_at, dropped_hash)
    select chain, max(sequence), sha256(''), max(recorded_at), sha256('') from audit.event where source = '/bench' group by chain
    on conflict (chain) do update set sequence = excluded.sequence`);
  say('  rows are in');
  for (const { definition } of indexes) await query(definition.replace(' ON ONLY ', ' ON '));
  say('  indexes are made');
  await query('vacuum (analyze) audit.event');
}

// Half of all records are of tenant 0; users have some hundred records each, sessions some; a handful of types are rare.
const rowsSql = `
  insert into audit.event (chain, sequence, id, recorded_at, occurred_at, type, severity, outcome, source, tenant_id,
    user_id, actor, subject, trace_id, data, client_ip, personal, personal_salt, personal_digest, content_hash, hash)
  select tenant::text, case when n % 2 = 0 then n / 2 else (n / 2) / 19 end + 1, gen_random_uuid(), at, at - interval '40 ms', type,
    case when type in ('auth.lockout', 'security.refresh_replay_detected') then 'warning'
      when type = 'auth.login.failure' then 'notice' else 'info' end,
    case when type in ('auth.login.failure', 'security.refresh_replay_detected') then 'failure' else 'success' end,
    '/bench', tenant, usr, usr::text, 'session:' || session, md5('trace' || n / 2),
    jsonb_build_object('user_id', usr, 'session_id', session, 'generation', n % 50, 'tenant_id', tenant,
      'trace_id', md5('trace' || n / 2), 'occurred_at', at)
      || case when n % 100000 = 77 then '{"reason":"unusual needle"}'::jsonb
        when n % 300 = 7 then '{"reason":"wrong_password today"}' else '{}' end,
    address, jsonb_build_object('client_ip', address, 'user_agent',
      'Mozilla/5.0 (X11; Linux x86_64; rv:1' || n % 40 || '.0) Gecko/20100101 Firefox/1' || n % 40 || '.0'),
    sha256(int8send(n)), sha256(int8send(n)), sha256(int8send(n)), sha256(int8send(n))
  from generate_series($1::bigint, $2::bigint - 1) as n,
    lateral (select md5('tenant' || case when n % 2 = 0 then 0 else 1 + (n / 2) % 19 end)::uuid) as t(tenant),
    lateral (select md5('user' || (n * 7919) % 20000)::uuid, md5('session' || (n * 7919) % 400000)::uuid) as u(usr, session),
    lateral (select ('10.' || (n * 31) % 200 || '.' || (n * 17) % 250 || '.' || n % 250)::inet) as a(address),
    lateral (select (now() - ($3::bigint - n) * (interval '360 days' / $3::bigint))::timestamptz(3)) as w(at),
    lateral (select case when n % 100000 = 13 then 'security.refresh_replay_detected' when n % 5000 = 11 then 'auth.lockout'
      when n % 20 = 3 then 'auth.login.failure' when n % 20 in (5, 6) then 'auth.login.success'
      when n % 20 = 7 then 'session.created' else 'session.refreshed' end) as k(type)`;
