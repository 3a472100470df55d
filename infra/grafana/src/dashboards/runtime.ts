import { BytesIEC, OpsPerSecond, PercentUnit, Seconds, Short } from '@grafana/grafana-foundation-sdk/units';
import { boundOf, none } from '../bounds.ts';
import type { Definition } from '../frame.ts';
import { graph, stat, table } from '../panels.ts';
import {
  calculate,
  changes,
  compare,
  count,
  increase,
  max,
  min,
  orZero,
  quantile,
  rate,
  since,
  sum,
  until,
  WHOLE_RANGE,
  withRelease,
} from '../promql.ts';
import { histogram, series } from '../series.ts';

const pool = (state: string) => sum(series('db_pool_connections', { state }), 'service');
const collections = 'nodejs_gc_duration_seconds_count';

const now = [
  stat({
    title: 'Processes',
    description: 'Processes that Prometheus reads.',
    runbook: 'gatehousedown',
    width: 4,
    unit: Short,
    of: orZero(count(compare(series('up'), '==', 1))),
  }),
  stat({
    title: 'Restarts',
    description:
      'Starts anew in the time that is shown, deploys among them. Without a deploy a process ended by itself: its last log lines say why.',
    runbook: 'gatehousedown',
    width: 4,
    unit: Short,
    decimals: 0,
    curve: false,
    of: sum(changes(series('process_start_time_seconds'))),
  }),
  stat({
    title: 'Memory, of its limit',
    description:
      'Of the process that is nearest to the memory that it may use. Beyond the limit the kernel ends it.',
    runbook: 'gatehousememoryhigh',
    width: 4,
    unit: PercentUnit,
    decimals: 0,
    bound: boundOf('GatehouseMemoryHigh'),
    of: max(calculate(resident(), '/', memoryLimit())),
  }),
  stat({
    title: 'Event loop lag, p99',
    description: 'Of the process whose timers are latest.',
    runbook: 'gatehouseeventlooplag',
    width: 4,
    unit: Seconds,
    bound: boundOf('GatehouseEventLoopLag'),
    of: max(series('nodejs_eventloop_lag_p99_seconds')),
  }),
  stat({
    title: 'Jobs that failed',
    description:
      'Runs of background jobs that failed in the time that is shown. Each runs again at its next time.',
    runbook: 'gatehousejobfailing',
    width: 4,
    unit: Short,
    decimals: 0,
    curve: false,
    bound: none,
    of: orZero(sum(increase(series('job_runs_total', { result: 'failed' })))),
  }),
  stat({
    title: 'Certificates that end soon',
    description:
      'Certificates of the other side of our connections (db, nats, redis, peer, cluster) that end within three weeks.',
    runbook: 'gatehousecertificateexpiring',
    width: 4,
    unit: Short,
    bound: none,
    of: orZero(
      count(
        compare(
          until(min(series('tls_certificate_expiry_timestamp_seconds'), 'service', 'dep')),
          '<',
          boundOf('GatehouseCertificateExpiring').value,
        ),
      ),
    ),
  }),
];

function resident() {
  return max(series('process_resident_memory_bytes'), 'instance');
}

function heap() {
  return max(series('nodejs_heap_size_used_bytes'), 'instance');
}

function memoryLimit() {
  return max(series('gatehouse_memory_limit_bytes'), 'instance');
}

const processes = [
  graph({
    title: 'Event loop, p99 of its lag',
    description:
      'How late timers come. Beyond the line a process computes where it should not (a hash, a large export), or lacks processor.',
    runbook: 'gatehouseeventlooplag',
    width: 8,
    unit: Seconds,
    bound: boundOf('GatehouseEventLoopLag'),
    queries: [{ of: max(series('nodejs_eventloop_lag_p99_seconds'), 'instance'), legend: '{{instance}}' }],
  }),
  graph({
    title: 'Processor, of what there is',
    description:
      'Part of the processors that a process may use. Hashes run on threads of their own, so that one process can use all. Beyond the line it is time for another instance.',
    runbook: 'gatehousecpuhigh',
    width: 8,
    unit: PercentUnit,
    bound: boundOf('GatehouseCpuHigh'),
    queries: [
      {
        of: calculate(
          sum(rate(series('process_cpu_seconds_total')), 'instance'),
          '/',
          max(series('gatehouse_processors'), 'instance'),
        ),
        legend: '{{instance}}',
      },
    ],
  }),
  graph({
    title: 'Memory and heap, of their limits',
    description:
      'Part of the memory, and of the JavaScript heap, that a process may use. At the first limit the kernel ends it, at the second Node does.',
    runbook: 'gatehousememoryhigh',
    width: 8,
    unit: PercentUnit,
    bound: boundOf('GatehouseMemoryHigh'),
    queries: [
      { of: calculate(resident(), '/', memoryLimit()), legend: 'memory: {{instance}}' },
      {
        of: calculate(heap(), '/', max(series('gatehouse_heap_limit_bytes'), 'instance')),
        legend: 'heap: {{instance}}',
      },
    ],
  }),
  graph({
    title: 'Memory',
    description: 'Resident memory of each process. Hashing takes ARGON2_MEMORY_KIB for each place.',
    runbook: 'gatehousememoryhigh',
    width: 8,
    unit: BytesIEC,
    queries: [{ of: resident(), legend: '{{instance}}' }],
  }),
  graph({
    title: 'Heap',
    description:
      'What JavaScript uses. A floor that rises from collection to collection is a leak: take a heap snapshot of that process.',
    runbook: 'gatehousememoryhigh',
    width: 8,
    unit: BytesIEC,
    queries: [{ of: heap(), legend: '{{instance}}' }],
  }),
  graph({
    title: 'Memory outside the heap',
    description: 'Buffers: request bodies, exports, TLS. It should follow the traffic.',
    runbook: 'gatehousememoryhigh',
    width: 8,
    unit: BytesIEC,
    queries: [{ of: max(series('nodejs_external_memory_bytes'), 'instance'), legend: '{{instance}}' }],
  }),
  graph({
    title: 'Garbage collection',
    description:
      'Part of the time that a process stands still to collect. Beyond a tenth the heap is too small for what it holds.',
    runbook: 'gatehousememoryhigh',
    width: 8,
    unit: PercentUnit,
    queries: [
      { of: sum(rate(series('nodejs_gc_duration_seconds_sum')), 'instance'), legend: '{{instance}}' },
    ],
  }),
  graph({
    title: 'Collections by kind',
    description: 'Many major ones are a heap near its limit.',
    runbook: 'gatehousememoryhigh',
    width: 8,
    unit: OpsPerSecond,
    stacked: true,
    queries: [{ of: sum(rate(series(collections)), 'kind'), legend: '{{kind}}' }],
  }),
  graph({
    title: 'Open files',
    description: 'Part of the file descriptors (connections among them) that a process may have.',
    runbook: 'where-to-look-first',
    width: 8,
    unit: PercentUnit,
    queries: [
      {
        of: calculate(
          max(series('process_open_fds'), 'instance'),
          '/',
          max(series('process_max_fds'), 'instance'),
        ),
        legend: '{{instance}}',
      },
    ],
  }),
];

const database = [
  graph({
    title: 'Connections of the pools',
    description: 'Open connections of each service; DATABASE_POOL_MAX is the most.',
    runbook: 'gatehousedatabasepoolexhausted',
    width: 8,
    unit: Short,
    stacked: true,
    queries: [{ of: pool('total'), legend: '{{service}}' }],
  }),
  graph({
    title: 'Waiting for a connection',
    description:
      'Requests and jobs that wait because every connection is at work. A queue that stays: slow statements, or a pool that is too small.',
    runbook: 'gatehousedatabasepoolexhausted',
    width: 8,
    unit: Short,
    queries: [{ of: pool('waiting'), legend: '{{service}}' }],
  }),
  graph({
    title: 'Time of a query, p95',
    description:
      'By service, with the way to Postgres and back. All slow at once is Postgres: its disk, its locks, its processor.',
    runbook: 'gatehousedatabasepoolexhausted',
    width: 8,
    unit: Seconds,
    queries: [
      { of: quantile(0.95, { of: 'db_query_duration_seconds', by: ['service'] }), legend: '{{service}}' },
    ],
  }),
  table({
    title: 'Queries',
    description: 'By service and by what the statement does, over the time that is shown.',
    runbook: 'gatehousedatabasepoolexhausted',
    width: 12,
    labels: ['service', 'operation'],
    columns: [
      {
        name: 'Queries',
        unit: OpsPerSecond,
        decimals: 2,
        of: sum(rate(histogram('db_query_duration_seconds', 'count'), WHOLE_RANGE), 'service', 'operation'),
      },
      {
        name: 'p95',
        unit: Seconds,
        of: quantile(0.95, {
          of: 'db_query_duration_seconds',
          by: ['service', 'operation'],
          window: WHOLE_RANGE,
        }),
      },
    ],
  }),
  table({
    title: 'Jobs',
    description: 'Background jobs: how often each ran and failed in the time that is shown.',
    runbook: 'gatehousejobfailing',
    width: 12,
    labels: ['task', 'result'],
    columns: [
      {
        name: 'Runs',
        unit: Short,
        decimals: 0,
        of: sum(increase(series('job_runs_total')), 'task', 'result'),
      },
    ],
  }),
  table({
    title: 'Releases',
    description:
      'Which release of a service runs in which process, and for how long. Two releases of one service side by side are a deploy under way, or one that stopped half way.',
    runbook: 'gatehousedown',
    width: 24,
    height: 6,
    labels: ['service', 'version', 'instance'],
    columns: [
      {
        name: 'Runs for',
        unit: Seconds,
        of: withRelease(max(since(series('process_start_time_seconds')), 'instance')),
      },
    ],
  }),
];

/** Processes and their database connections. */
export const runtime: Definition = {
  uid: 'gatehouse-runtime',
  title: 'Runtime',
  description:
    'Event loop, processor, memory, garbage collection of every process; database pools, queries and jobs.',
  rows: [
    { title: 'Now', panels: now },
    { title: 'Processes', panels: processes },
    { title: 'Database and jobs', panels: database },
  ],
};
