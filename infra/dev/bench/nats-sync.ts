import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { findFreePort, type Installation, repositoryRoot } from '@gatehouse/embedded';
import pg from 'pg';
import { type Measurement, onInstallation } from './bench.ts';
import { summarise } from './histogram.ts';
import {
  askAll,
  type BenchCluster,
  type BenchOperator,
  benchCluster,
  benchOperator,
} from './nats-cluster.ts';
import { type Figure, ms, rate } from './report.ts';

const accounts = 10_000;
const changes = 50;
const rawWindow = 64;

/** 10,000 accounts to an empty cluster of one and of three servers, and changes afterwards, each proven on every server. */
export const natsSync: Measurement = async ({ say }) => {
  const figures: Figure[] = [];
  for (const servers of [1, 3]) {
    say(`nats-sync, ${servers} server${servers > 1 ? 's' : ''}`);
    figures.push(...(await withServers(servers, say)));
  }
  return figures;
};

async function withServers(servers: number, say: (line: string) => void): Promise<Figure[]> {
  const operator = benchOperator();
  const raw = await rawLimit(operator, servers);
  return onInstallation({}, async (installation) => {
    const platform = await startPlatform(installation);
    const pool = new pg.Pool({ connectionString: installation.databaseUrl, max: 2 });
    const cluster = await benchCluster(operator, servers);
    try {
      const operatorId = await platform.importOperator(operator);
      const ids = await insertAccounts(pool, operator, operatorId);
      await delay(3_000);
      const idle = platform.memoryMb();
      const full = await fullSync({ platform, pool, cluster, operator, operatorId });
      say(
        `  full ${ms(full.ms)}, ${Math.round(full.peakMb - idle)} MB above idle, raw ${rate(raw.perSecond)}`,
      );
      const change = await changeSync(platform, pool, ids);
      say(`  change p50 ${ms(change.p50)}, p99 ${ms(change.p99)}, raw p50 ${ms(raw.p50)}`);
      return figuresOf(servers, { raw, full, change, idle });
    } finally {
      await pool.end();
      await cluster.close();
      await platform.stop();
    }
  });
}

interface Measured {
  readonly raw: { readonly perSecond: number; readonly p50: number };
  readonly full: { readonly ms: number; readonly peakMb: number };
  readonly change: { readonly p50: number; readonly p99: number };
  readonly idle: number;
}

function figuresOf(servers: number, { raw, full, change, idle }: Measured): Figure[] {
  const on = `${servers} server${servers > 1 ? 's' : ''}`;
  const perSecond = accounts / (full.ms / 1_000);
  return [
    {
      what: `nats sync: 10,000 accounts to an empty cluster of ${on}, each stored and enforced by proof`,
      value: `${(full.ms / 1_000).toFixed(1)} s, ${rate(perSecond)}`,
      raw: `${rate(raw.perSecond)} pushed, not proven`,
      ratio: perSecond / raw.perSecond,
      bar: '≤ 60 s',
      met: full.ms <= 60_000,
    },
    {
      what: `nats sync: memory meanwhile, above idle (${on})`,
      value: `${Math.round(full.peakMb - idle)} MB`,
      raw: '',
      ratio: undefined,
      bar: '≤ 200 MB',
      met: full.peakMb - idle <= 200,
    },
    {
      what: `nats sync: one change, from the request to its proof on ${on}`,
      value: `p99 ${ms(change.p99)}, p50 ${ms(change.p50)}`,
      raw: `p50 ${ms(raw.p50)} to push it`,
      ratio: undefined,
      bar: 'p99 ≤ 2 s',
      met: change.p99 <= 2_000,
    },
  ];
}

/** Pushes as fast as answers come, on a cluster of its own: what no sync can be faster than. */
async function rawLimit(operator: BenchOperator, servers: number): Promise<Measured['raw']> {
  const cluster = await benchCluster(operator, servers);
  try {
    const jwts = Array.from({ length: 2_000 }, (_, index) => operator.account(`raw-${index}`).jwt);
    const push = async (jwt: string) => {
      const answered = await askAll(cluster.nc, '$SYS.REQ.CLAIMS.UPDATE', jwt, servers);
      if (answered !== servers) throw new Error(`${answered} of ${servers} servers answered`);
    };
    const begun = performance.now();
    let next = 0;
    const lane = async () => {
      for (let jwt = jwts[next++]; jwt !== undefined; jwt = jwts[next++]) await push(jwt);
    };
    await Promise.all(Array.from({ length: rawWindow }, lane));
    const perSecond = jwts.length / ((performance.now() - begun) / 1_000);
    const latencies: number[] = [];
    for (const jwt of jwts.slice(0, changes)) {
      const sent = performance.now();
      await push(jwt);
      latencies.push(performance.now() - sent);
    }
    return { perSecond, p50: summarise(latencies, 0, 1).p50 };
  } finally {
    await cluster.close();
  }
}

/** As an import leaves them; one by one through the API would measure the API. */
async function insertAccounts(pool: pg.Pool, operator: BenchOperator, operatorId: string): Promise<string[]> {
  const ids: string[] = [];
  for (let begin = 0; begin < accounts; begin += 1_000) {
    const rows = Array.from({ length: 1_000 }, (_, index) => operator.account(`bench-${begin + index}`));
    const { rows: made } = await pool.query<{ id: string }>(
      `insert into natsid.account (id, operator_id, name, public_key, claims, jwt, jwt_iat, jwt_sha256, issuer_key)
       select gen_random_uuid(), $2, name, "publicKey", $3::jsonb, jwt, $4, sha256(jwt::bytea), $5
       from jsonb_to_recordset($1::jsonb) as r(name text, "publicKey" text, jwt text)
       returning id`,
      [JSON.stringify(rows), operatorId, operator.claims, operator.iat, operator.signing.publicKey],
    );
    ids.push(...made.map(({ id }) => id));
  }
  await pool.query('analyze natsid.account');
  return ids;
}

async function fullSync(about: {
  readonly platform: Platform;
  readonly pool: pg.Pool;
  readonly cluster: BenchCluster;
  readonly operator: BenchOperator;
  readonly operatorId: string;
}): Promise<Measured['full']> {
  const { platform, pool, cluster, operator, operatorId } = about;
  let peakMb = platform.memoryMb();
  const begun = performance.now();
  await platform.send('POST', '/api/nats/clusters', {
    name: 'bench',
    operator_id: operatorId,
    servers: cluster.urls,
    creds: operator.creds,
  });
  for (;;) {
    await delay(50);
    peakMb = Math.max(peakMb, platform.memoryMb());
    const { rows } = await pool.query<{ left: boolean }>(
      `select exists (select from natsid.account_sync s join natsid.account a on a.id = s.account_id
        where a.operator_id = $1 and s.proven < s.wanted) as left`,
      [operatorId],
    );
    if (rows[0]?.left === false) return { ms: performance.now() - begun, peakMb };
    if (performance.now() - begun > 300_000) throw new Error('not all accounts were proven in five minutes');
  }
}

async function changeSync(
  platform: Platform,
  pool: pg.Pool,
  ids: readonly string[],
): Promise<Measured['change']> {
  const latencies: number[] = [];
  for (let round = 0; round < changes; round += 1) {
    const id = ids[(round * 191) % ids.length] ?? '';
    const begun = performance.now();
    await platform.send('PATCH', `/api/nats/accounts/${id}`, { claims: { description: `change ${round}` } });
    for (;;) {
      const { rows } = await pool.query<{ done: boolean }>(
        `select bool_and(wanted > 1 and proven = wanted) as done from natsid.account_sync where account_id = $1`,
        [id],
      );
      if (rows[0]?.done === true) break;
      if (performance.now() - begun > 30_000) throw new Error('a change was not proven in half a minute');
      await delay(2);
    }
    latencies.push(performance.now() - begun);
  }
  return summarise(latencies, 0, 1);
}

/** The platform in one process whose memory can be looked at, and its administrator. */
interface Platform {
  send(method: string, path: string, body: unknown): Promise<Record<string, unknown>>;
  importOperator(operator: BenchOperator): Promise<string>;
  memoryMb(): number;
  stop(): Promise<void>;
}

async function startPlatform(installation: Installation): Promise<Platform> {
  await installation.stopService('all-in-one');
  const port = await findFreePort();
  const child = spawn(process.execPath, [join(repositoryRoot, 'services/all-in-one/src/main.ts')], {
    env: { PATH: process.env.PATH, ...installation.env, PORT: String(port) },
    stdio: 'ignore',
  });
  const url = `http://127.0.0.1:${port}`;
  const ready = async () => (await fetch(`${url}/health/ready`).catch(() => undefined))?.status === 200;
  while (!(await ready())) {
    if (child.exitCode !== null) throw new Error(`the services ended with ${child.exitCode}`);
    await delay(20);
  }
  let token = '';
  const send: Platform['send'] = async (method, path, body) => {
    const answer = await fetch(url + path, {
      method,
      headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(`${method} ${path} answered ${answer.status}: ${await answer.text()}`);
    return (await answer.json()) as Record<string, unknown>;
  };
  const { access_token } = await send('POST', '/api/auth/login', installation.admin);
  token = String(access_token);
  return {
    send,
    async importOperator({ jwt, signing }) {
      const { id } = await send('POST', '/api/nats/operators', {
        name: 'bench',
        import: { jwt, signing_seeds: [signing.seed().toString()] },
      });
      return String(id);
    },
    memoryMb: () =>
      Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) / 1024,
    stop: () => ended(child),
  };
}

async function ended(child: ChildProcess): Promise<void> {
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await gone;
}
