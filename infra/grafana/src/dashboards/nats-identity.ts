import {
  OpsPerSecond,
  PercentUnit,
  RequestsPerSecond,
  Seconds,
  Short,
} from '@grafana/grafana-foundation-sdk/units';
import { none } from '../bounds.ts';
import type { Definition } from '../frame.ts';
import { graph, heatmap, stat } from '../panels.ts';
import { calculate, increase, max, orZero, quantile, rate, share, sum, top } from '../promql.ts';
import { histogram, series } from '../series.ts';

const requests = series('nis_api_requests_total');
const failed = series('nis_api_requests_total', { status: /5../ });

const number = (title: string, description: string, of: Parameters<typeof max>[0]) =>
  stat({
    title,
    description,
    runbook: 'where-to-look-first',
    width: 3,
    unit: Short,
    decimals: 0,
    of: max(of),
  });

const now = [
  number('Operators', 'Operators that are kept here.', series('nis_operators_total')),
  number('Accounts', 'Accounts of all operators, without deleted ones.', series('nis_accounts_total')),
  number('Users', 'Users of all accounts.', series('nis_users_total')),
  number('Clusters', 'Clusters that are registered.', series('nis_clusters_total')),
  stat({
    title: 'Unhealthy clusters',
    description:
      'Clusters of which a server does not answer, is not sound, or does not trust our operator. Nothing can be changed on them until they are.',
    runbook: 'gatehousenatsclusterunhealthy',
    width: 3,
    unit: Short,
    bound: none,
    of: calculate(max(series('nis_clusters_total')), '-', max(series('nis_clusters_healthy'))),
  }),
  stat({
    title: 'Failed pushes',
    description:
      'Pushes of an account that were not proven on every server, in the time that is shown. Each is tried again.',
    runbook: 'gatehousenatssyncfailing',
    width: 3,
    unit: Short,
    decimals: 0,
    curve: false,
    bound: none,
    of: orZero(sum(increase(series('nis_cluster_sync_errors_total')))),
  }),
  stat({
    title: 'Accounts that drifted',
    description:
      'Accounts that a cluster holds otherwise than they are wanted: somebody changed them past Gatehouse, or a push is outstanding.',
    runbook: 'gatehousenatsdrift',
    width: 3,
    unit: Short,
    bound: none,
    of: orZero(max(series('nis_cluster_accounts', { state: 'drifted' }))),
  }),
  stat({
    title: 'Failed requests',
    description: 'Part of the requests to /api/nats that were answered with 5xx.',
    runbook: 'gatehousehigherrorrate',
    width: 3,
    unit: PercentUnit,
    decimals: 2,
    of: share(sum(rate(failed)), sum(rate(requests))),
  }),
];

const clusters = [
  graph({
    title: 'Healthy clusters',
    description: 'Of those that are registered. A gap between the two curves is a cluster that is unhealthy.',
    runbook: 'gatehousenatsclusterunhealthy',
    width: 8,
    unit: Short,
    queries: [
      { of: max(series('nis_clusters_total')), legend: 'registered' },
      { of: max(series('nis_clusters_healthy')), legend: 'healthy' },
    ],
  }),
  graph({
    title: 'Accounts on clusters by state',
    description: 'in_sync is as it should be; foreign are accounts that a cluster has from somewhere else.',
    runbook: 'gatehousenatsdrift',
    width: 8,
    unit: Short,
    stacked: true,
    queries: [{ of: max(series('nis_cluster_accounts'), 'state'), legend: '{{state}}' }],
  }),
  graph({
    title: 'Failed pushes by cause',
    description:
      'Pushes not proven on every server. unreachable is a server that is away; the rest is said in the log and at `gatehouse cluster diff`.',
    runbook: 'gatehousenatssyncfailing',
    width: 8,
    unit: OpsPerSecond,
    queries: [
      { of: orZero(sum(rate(series('nis_cluster_sync_errors_total')))), legend: 'all' },
      { of: sum(rate(series('nis_cluster_sync_errors_total')), 'cause'), legend: '{{cause}}' },
    ],
  }),
  graph({
    title: 'Time of a synchronisation',
    description:
      'change: from the commit of a change to its proof on every server of a cluster. full: a look at all accounts.',
    runbook: 'gatehousenatssyncfailing',
    width: 12,
    unit: Seconds,
    queries: [
      {
        of: quantile(0.5, { of: 'nis_cluster_sync_duration_seconds', by: ['kind'] }),
        legend: '{{kind}} p50',
      },
      {
        of: quantile(0.95, { of: 'nis_cluster_sync_duration_seconds', by: ['kind'] }),
        legend: '{{kind}} p95',
      },
    ],
  }),
  heatmap({
    title: 'How the times of synchronisations are spread',
    description:
      'Those beyond a second are servers that answer slowly, or accounts that wait for their turn.',
    runbook: 'gatehousenatssyncfailing',
    width: 12,
    unit: Seconds,
    of: sum(increase(histogram('nis_cluster_sync_duration_seconds', 'bucket'), '$__rate_interval'), 'le'),
  }),
];

const api = [
  graph({
    title: 'Requests by status',
    description:
      'Requests to /api/nats. 409 is two who change the same thing, 503 a dependency that is away.',
    runbook: 'where-to-look-first',
    width: 8,
    unit: RequestsPerSecond,
    stacked: true,
    queries: [{ of: sum(rate(requests), 'status'), legend: '{{status}}' }],
  }),
  graph({
    title: 'Time to answer',
    description: 'Of requests to /api/nats.',
    runbook: 'gatehouselatencyp95high',
    width: 8,
    unit: Seconds,
    queries: [
      { of: quantile(0.5, { of: 'nis_api_request_duration_seconds' }), legend: 'p50' },
      { of: quantile(0.95, { of: 'nis_api_request_duration_seconds' }), legend: 'p95' },
      { of: quantile(0.99, { of: 'nis_api_request_duration_seconds' }), legend: 'p99' },
    ],
  }),
  graph({
    title: 'Database',
    description:
      'Connections of nats-identity that are open, and how many it may open. When they meet, requests wait.',
    runbook: 'gatehousedatabasepoolexhausted',
    width: 8,
    unit: Short,
    queries: [
      { of: max(series('nis_db_connections_open'), 'instance'), legend: 'open: {{instance}}' },
      { of: max(series('nis_db_connections_max')), legend: 'at most' },
    ],
  }),
  graph({
    title: 'Time of a query, p95',
    description:
      'The ten slowest kinds of statement. All slow at once is Postgres; one is a lock, or a table that grew.',
    runbook: 'gatehousedatabasepoolexhausted',
    width: 8,
    unit: Seconds,
    queries: [
      {
        of: top(10, quantile(0.95, { of: 'nis_db_query_duration_seconds', by: ['operation'] })),
        legend: '{{operation}}',
      },
    ],
  }),
  graph({
    title: 'Seeds sealed and opened',
    description:
      'A failed decrypt is a seed whose key is not in the ring: bring the key back before anything else.',
    runbook: 'an-encryption-key-is-missing',
    width: 8,
    unit: OpsPerSecond,
    queries: [
      {
        of: sum(rate(series('nis_encryption_operations_total')), 'operation', 'result'),
        legend: '{{operation}} {{result}}',
      },
    ],
  }),
  graph({
    title: 'Sealed records by key',
    description:
      'Records by the state of the key that they are sealed with. Those of an old key go as re-encryption runs; those of a missing key cannot be opened.',
    runbook: 'an-encryption-key-is-missing',
    width: 8,
    unit: Short,
    stacked: true,
    queries: [{ of: max(series('nis_encryption_records'), 'state'), legend: '{{state}}' }],
  }),
];

/** Operators, accounts, users, clusters; the metrics have the names of guide NIS. */
export const natsIdentity: Definition = {
  uid: 'gatehouse-nats-identity',
  title: 'NATS identity',
  description:
    'Operators, accounts and users, whether their clusters hold what is wanted, and the requests to /api/nats.',
  rows: [
    { title: 'Now', panels: now },
    { title: 'Clusters', panels: clusters },
    { title: 'Requests, database, seeds', panels: api },
  ],
};
