import { readFileSync } from 'node:fs';
import { commandLineOf, findPgBouncer, type Installation } from '@gatehouse/embedded';
import { connect } from '@gatehouse/schema';
import type { Pool } from 'pg';
import { type Measurement, onInstallation, query } from './bench.ts';
import { cpuMs, familyCpuMs, processesNamed } from './cpu-time.ts';
import { median } from './histogram.ts';
import { type Figure, rate } from './report.ts';

const statements = 4_000;
const lanes = 4;
const rounds = 3;

/** By keys, with something to plan, as the statements of the hot paths are. */
const text = `with spent as (update sample set value = sample.value + 1 where id = $1 returning id, value),
  other as (select s.id, t.value from sample s join sample t on t.id = s.id where s.id = $2)
  select spent.value, other.value as other from spent left join other on true`;

/** Processor time of one statement, in microseconds. Unlike a rate it is much the same on a busy machine. */
interface Cost {
  readonly client: number;
  readonly postgres: number;
  readonly pooler: number;
  readonly perSecond: number;
}

/** What a statement costs with PgBouncer in between, and without its name. */
export const pooler: Measurement = async ({ say }) => {
  if (findPgBouncer() === undefined) return [];
  return onInstallation({ pooler: true }, async (installation) => {
    await installation.stopService('all-in-one');
    await query(installation, 'create table token.sample (id int primary key, value int not null)');
    await query(installation, 'insert into token.sample select n, n from generate_series(1, 100) n');
    await query(installation, 'grant select, insert, update on token.sample to gatehouse_token');
    const seen = new Map<string, Cost[]>();
    for (let round = 0; round < rounds; round += 1) {
      for (const pooled of [false, true]) {
        for (const named of [true, false]) {
          const way = `${pooled ? 'behind PgBouncer' : 'direct'}, ${named ? 'named' : 'unnamed'}`;
          const cost = await costOf(installation, pooled, named);
          seen.set(way, [...(seen.get(way) ?? []), cost]);
          say(`  ${way}: ${spoken(cost)}, ${rate(cost.perSecond)}`);
        }
      }
    }
    return [...seen].map(([way, costs]) => figureOf(way, costs));
  });
};

async function costOf(installation: Installation, pooled: boolean, named: boolean): Promise<Cost> {
  const { pool, close } = connect({
    url: pooled ? (installation.env.TOKEN_DATABASE_URL ?? '') : installation.databaseUrl,
    service: 'token',
    poolMax: lanes,
    pooled,
    namedStatements: named,
  });
  try {
    await runStatements(pool, statements / 10);
    const spent = () => [familyCpuMs(postmasterOf(installation)), cpuMs(poolerOf(installation))] as const;
    const [client, [postgres, pooler_], begun] = [process.cpuUsage(), spent(), performance.now()];
    await runStatements(pool, statements);
    const tookMs = performance.now() - begun;
    const { user, system } = process.cpuUsage(client);
    const [postgresNow, poolerNow] = spent();
    const each = (ms: number) => (ms * 1000) / statements;
    return {
      client: (user + system) / statements,
      postgres: each(postgresNow - postgres),
      pooler: each(poolerNow - pooler_),
      perSecond: (statements * 1000) / tookMs,
    };
  } finally {
    await close();
  }
}

async function runStatements(pool: Pool, count: number): Promise<void> {
  let begun = 0;
  const lane = async (id: number) => {
    while (begun++ < count) await pool.query({ name: 'bench_sample', text, values: [id, id + lanes] });
  };
  await Promise.all(Array.from({ length: lanes }, (_, at) => lane(at + 1)));
}

/** Nobody else on the machine has its port. */
const postmasterOf = ({ databaseUrl }: Installation): number =>
  processesNamed(`-c port=${new URL(databaseUrl).port}`)[0] ?? 0;

function poolerOf({ env }: Installation): number {
  const { port } = new URL(env.TOKEN_DATABASE_URL ?? '');
  const listens = (pid: number): boolean => {
    try {
      const file = commandLineOf(pid).split(' ').at(-1) ?? '';
      return readFileSync(file, 'utf8').includes(`listen_port = ${port}\n`);
    } catch {
      return false;
    }
  };
  return processesNamed('/pgbouncer.ini').find(listens) ?? 0;
}

const spoken = ({ client, postgres, pooler: pooler_ }: Omit<Cost, 'perSecond'>): string =>
  `service ${Math.round(client)}, Postgres ${Math.round(postgres)}, PgBouncer ${Math.round(pooler_)} µs`;

function figureOf(way: string, costs: readonly Cost[]): Figure {
  const of = (field: keyof Cost) => median(costs.map((one) => one[field]));
  const [client, postgres, pooler_] = [of('client'), of('postgres'), of('pooler')];
  return {
    what: `processor time of one statement, ${way}`,
    value: spoken({ client, postgres, pooler: pooler_ }),
    raw: '',
    ratio: undefined,
    bar: 'PgBouncer ≤ 100 µs',
    met: pooler_ <= 100,
  };
}
