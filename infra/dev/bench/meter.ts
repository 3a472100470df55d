import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import type { Installation } from '@gatehouse/embedded';
import { query } from './bench.ts';

/** Sums of everything that requests cost, by name; two readings make a cost. */
export type Reading = Readonly<Record<string, number>>;

/** What a reading has besides `cpu <process>`, which is in milliseconds. */
export const counters = {
  statements: 'SQL statements',
  walBytes: 'WAL',
  walFlushes: 'WAL flushes',
  rowBytes: 'database',
  auditRows: 'audit rows',
  auditBytes: 'audit',
  natsMessages: 'NATS messages in',
  natsBytes: 'NATS in',
  redisCommands: 'Redis commands',
} as const;

const CLOCK_TICKS_A_SECOND = 100;

/** Reads every counter of an installation in mode 'scaled'. */
export async function readMeters(installation: Installation): Promise<Reading> {
  const [services, database, bus, redis] = await Promise.all([
    readServices(installation),
    readDatabase(installation),
    readBus(installation),
    readRedis(installation),
  ]);
  return { ...services, ...database, ...bus, ...redis };
}

/** What was counted between two readings, without what an idle installation counts in the same time. */
export function costBetween(
  before: Reading,
  after: Reading,
  idle: { perSecond: Reading; seconds: number },
): Reading {
  return Object.fromEntries(
    Object.entries(after).map(([name, value]) => [
      name,
      Math.max(0, value - (before[name] ?? 0) - (idle.perSecond[name] ?? 0) * idle.seconds),
    ]),
  );
}

async function readServices({ services, instances, urlOf }: Installation): Promise<Reading> {
  const reading: Record<string, number> = { statements: 0 };
  for (const instance of instances) {
    const page = await (await fetch(`${urlOf(instance)}/metrics`)).text();
    const service = services.find((name) => instance.startsWith(name)) ?? instance;
    const cpu = sumOf(page, 'process_cpu_seconds_total') * 1000;
    reading[`cpu ${service}`] = (reading[`cpu ${service}`] ?? 0) + cpu;
    reading.statements = (reading.statements ?? 0) + sumOf(page, 'db_query_duration_seconds_count');
  }
  return reading;
}

/** The sum of a metric over its labels. */
function sumOf(page: string, name: string): number {
  const lines = page.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
  return lines.reduce(
    (sum, line) =>
      sum +
      Number(
        line
          .slice(line.lastIndexOf('}') + 1)
          .trim()
          .split(' ')
          .at(-1),
      ),
    0,
  );
}

async function readDatabase(installation: Installation): Promise<Reading> {
  const [row] = await query<Record<string, string>>(
    installation,
    `select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') as wal_bytes,
      (select sum(fsyncs) from pg_stat_io where object = 'wal') as wal_flushes,
      pg_database_size(current_database()) as row_bytes,
      (select count(*) from audit.event) as audit_rows,
      (select sum(pg_total_relation_size(relid)) from pg_partition_tree('audit.event')) as audit_bytes,
      (select string_agg(pid::text, ',') from pg_stat_activity where pid <> pg_backend_pid()) as pids`,
  );
  const pids = (row?.pids ?? '').split(',').map(Number);
  return {
    walBytes: Number(row?.wal_bytes),
    walFlushes: Number(row?.wal_flushes),
    rowBytes: Number(row?.row_bytes),
    auditRows: Number(row?.audit_rows),
    auditBytes: Number(row?.audit_bytes),
    'cpu postgres': pids.reduce((sum, pid) => sum + cpuOf(pid), 0),
  };
}

async function readBus(installation: Installation): Promise<Reading> {
  const { servers, credsOf } = installation.nats;
  const pages = await Promise.all(
    servers.map(async ({ monitorUrl }) => {
      const page = (await (await fetch(`${monitorUrl}/varz`)).json()) as {
        in_msgs: number;
        in_bytes: number;
      };
      return page;
    }),
  );
  // The files of the parts lie beside the bus' own.
  const home = dirname(dirname(dirname(credsOf('auth'))));
  const cpuIn = (folder: string, file: string) =>
    cpuOf(Number(readFileSync(join(home, folder, file), 'utf8')));
  const pooler = readdirSync(home).includes('pgbouncer') ? cpuIn('pgbouncer', 'pgbouncer.pid') : 0;
  return {
    natsMessages: pages.reduce((sum, page) => sum + page.in_msgs, 0),
    natsBytes: pages.reduce((sum, page) => sum + page.in_bytes, 0),
    'cpu nats-server': servers.reduce((sum, { name }) => sum + cpuIn(name, 'nats.pid'), 0),
    'cpu pgbouncer': pooler,
  };
}

/** Processor time of a process in milliseconds; 0 when it has gone. */
function cpuOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return ((Number(fields[11]) + Number(fields[12])) * 1000) / CLOCK_TICKS_A_SECOND;
  } catch {
    return 0;
  }
}

async function readRedis(installation: Installation): Promise<Reading> {
  const { hostname, port, password } = new URL(installation.redis.url);
  const info = await new Promise<string>((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port) });
    let text = '';
    socket.once('error', reject);
    socket.on('data', (chunk) => {
      text += chunk;
      if (/used_cpu_user:[^\n]*\n/.test(text)) {
        socket.destroy();
        resolve(text);
      }
    });
    socket.write(`AUTH ${password}\r\nINFO everything\r\n`);
  });
  const field = (name: string) => Number(new RegExp(`${name}:([0-9.]+)`).exec(info)?.[1] ?? Number.NaN);
  return {
    redisCommands: field('total_commands_processed'),
    'cpu redis': (field('used_cpu_user') + field('used_cpu_sys')) * 1000,
  };
}
