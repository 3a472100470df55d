import { PercentUnit, RequestsPerSecond, Seconds, Short } from '@grafana/grafana-foundation-sdk/units';
import { boundOf, none } from '../bounds.ts';
import type { Definition } from '../frame.ts';
import { graph, heatmap, stat, states, table } from '../panels.ts';
import {
  calculate,
  compare,
  count,
  increase,
  max,
  orZero,
  quantile,
  rate,
  share,
  sum,
  top,
  WHOLE_RANGE,
} from '../promql.ts';
import { histogram, series } from '../series.ts';

// As the alerts reckon: probes and scrapes are nobody's requests, and would thin out errors.
const route = { not: /\/health.*|\/ready|\/readyz|\/metrics/ };
const requests = series('auth_http_requests_total', { route });
const failed = series('auth_http_requests_total', { route, status: /5../ });
const latency = 'auth_http_request_duration_seconds';

const now = [
  stat({
    title: 'Processes down',
    description:
      'Processes that Prometheus cannot read. One that stays down answers nobody: see its log and its restarts.',
    runbook: 'gatehousedown',
    more: 'gatehouse-runtime',
    width: 3,
    unit: Short,
    bound: none,
    of: orZero(count(compare(series('up'), '==', 0))),
  }),
  stat({
    title: 'Not ready',
    description:
      'Processes whose /health/ready answers 503: no traffic should reach them. They lack what READINESS_REQUIRES names, or migrate, or end.',
    runbook: 'gatehousenotready',
    width: 3,
    unit: Short,
    bound: none,
    of: orZero(count(compare(series('gatehouse_ready'), '==', 0))),
  }),
  stat({
    title: 'Dependencies down',
    description: 'Pairs of a service and a dependency (Postgres, NATS, Redis) that does not answer it.',
    runbook: 'gatehousedependencydown',
    width: 3,
    unit: Short,
    bound: none,
    of: orZero(count(compare(series('auth_dependency_up'), '==', 0))),
  }),
  stat({
    title: 'Alerts firing',
    description:
      'Alerts of infra/prometheus/rules that fire now. Each has a section of its name in the runbook.',
    runbook: 'alerts',
    width: 3,
    unit: Short,
    bound: none,
    of: { text: 'count(ALERTS{alertname=~"Gatehouse.+", alertstate="firing"}) or vector(0)' },
  }),
  stat({
    title: 'Requests',
    description:
      'Requests answered, at the edge and within. None at all, at a time when there should be some, is a fault in front of the gateway.',
    runbook: 'where-to-look-first',
    width: 3,
    unit: RequestsPerSecond,
    decimals: 1,
    of: sum(rate(requests)),
  }),
  stat({
    title: 'Failed',
    description:
      'Part of the requests that were answered with 5xx. What callers did wrong (4xx) is not in it.',
    runbook: 'gatehousehigherrorrate',
    width: 3,
    unit: PercentUnit,
    decimals: 2,
    bound: boundOf('GatehouseHighErrorRate'),
    of: share(sum(rate(failed)), sum(rate(requests))),
  }),
  stat({
    title: 'p95',
    description: 'Time within which 95 of 100 requests were answered.',
    runbook: 'gatehouselatencyp95high',
    width: 3,
    unit: Seconds,
    bound: boundOf('GatehouseLatencyP95High'),
    of: quantile(0.95, { of: latency, where: { route } }),
  }),
  stat({
    title: 'p99',
    description: 'Time within which 99 of 100 requests were answered.',
    runbook: 'gatehouselatencyp99high',
    width: 3,
    unit: Seconds,
    bound: boundOf('GatehouseLatencyP99High'),
    of: quantile(0.99, { of: latency, where: { route } }),
  }),
];

const traffic = [
  graph({
    title: 'Requests by service',
    description:
      'Requests answered by each service. In front of split services the gateway counts each request as well.',
    runbook: 'where-to-look-first',
    width: 8,
    unit: RequestsPerSecond,
    stacked: true,
    queries: [{ of: sum(rate(requests), 'service'), legend: '{{service}}' }],
  }),
  graph({
    title: 'Answers by status',
    description:
      'Many 401 and 423 are somebody guessing passwords, 429 the limits at work, 503 a hash that found no place or a dependency that is away.',
    runbook: 'where-to-look-first',
    width: 8,
    unit: RequestsPerSecond,
    stacked: true,
    queries: [{ of: sum(rate(requests), 'status'), legend: '{{status}}' }],
  }),
  graph({
    title: 'Failed requests by service',
    description: 'Part of the requests that a service answered with 5xx; beyond the line the alert fires.',
    runbook: 'gatehousehigherrorrate',
    width: 8,
    unit: PercentUnit,
    bound: boundOf('GatehouseHighErrorRate'),
    queries: [
      { of: share(sum(rate(failed), 'service'), sum(rate(requests), 'service')), legend: '{{service}}' },
    ],
  }),
  graph({
    title: 'Time to answer',
    description: 'Half, 95 and 99 of 100 requests of all services were answered within this time.',
    runbook: 'gatehouselatencyp95high',
    width: 8,
    unit: Seconds,
    bound: boundOf('GatehouseLatencyP95High'),
    queries: [
      { of: quantile(0.5, { of: latency, where: { route } }), legend: 'p50' },
      { of: quantile(0.95, { of: latency, where: { route } }), legend: 'p95' },
      { of: quantile(0.99, { of: latency, where: { route } }), legend: 'p99', exemplars: true },
    ],
  }),
  graph({
    title: 'Time to answer by service, p95',
    description:
      'A service that is slow alone is the cause; when all are slow at once it is Postgres or the machine.',
    runbook: 'gatehouselatencyp95high',
    width: 8,
    unit: Seconds,
    bound: boundOf('GatehouseLatencyP95High'),
    queries: [
      { of: quantile(0.95, { of: latency, where: { route }, by: ['service'] }), legend: '{{service}}' },
    ],
  }),
  heatmap({
    title: 'How the times are spread',
    description:
      'Requests by the time that they took. Two bands are two kinds of requests: sign-ins with their hash, and the rest.',
    runbook: 'gatehouselatencyp95high',
    width: 8,
    unit: Seconds,
    of: sum(increase(histogram(latency, 'bucket', { route }), '$__rate_interval'), 'le'),
  }),
  table({
    title: 'Routes',
    description: 'The twenty busiest routes in the time that is shown.',
    runbook: 'where-to-look-first',
    width: 24,
    height: 10,
    labels: ['service', 'method', 'route'],
    columns: [
      {
        name: 'Requests',
        unit: RequestsPerSecond,
        decimals: 2,
        of: top(20, sum(rate(requests, WHOLE_RANGE), 'service', 'method', 'route')),
      },
      {
        name: 'Failed',
        unit: PercentUnit,
        decimals: 2,
        of: share(
          sum(rate(failed, WHOLE_RANGE), 'service', 'method', 'route'),
          sum(rate(requests, WHOLE_RANGE), 'service', 'method', 'route'),
        ),
      },
      {
        name: 'p95',
        unit: Seconds,
        of: quantile(0.95, {
          of: latency,
          where: { route },
          by: ['service', 'method', 'route'],
          window: WHOLE_RANGE,
        }),
      },
    ],
  }),
];

const saturation = [
  states({
    title: 'Dependencies',
    description: 'Whether each dependency answers each service, asked every five seconds.',
    runbook: 'gatehousedependencydown',
    width: 12,
    unit: Short,
    states: { one: 'answers', zero: 'down', good: 1 },
    queries: [{ of: max(series('auth_dependency_up'), 'service', 'dep'), legend: '{{service}} → {{dep}}' }],
  }),
  graph({
    title: 'Waiting for something',
    description:
      'Requests that wait for a database connection or for a place to hash. A queue that stays is a limit that is reached.',
    runbook: 'gatehousedatabasepoolexhausted',
    more: 'gatehouse-runtime',
    width: 6,
    unit: Short,
    queries: [
      {
        of: sum(series('db_pool_connections', { state: 'waiting' }), 'service'),
        legend: 'connection: {{service}}',
      },
      { of: sum(series('auth_password_hash_queue')), legend: 'hash' },
    ],
  }),
  graph({
    title: 'Pool in use',
    description:
      'Part of the database connections of each service that is at work. At 100 % the next request waits.',
    runbook: 'gatehousedatabasepoolexhausted',
    more: 'gatehouse-runtime',
    width: 6,
    unit: PercentUnit,
    max: 1,
    queries: [
      {
        of: calculate(
          {
            text: `(${
              calculate(
                sum(series('db_pool_connections', { state: 'total' }), 'service'),
                '-',
                sum(series('db_pool_connections', { state: 'idle' }), 'service'),
              ).text
            })`,
          },
          '/',
          sum(series('db_pool_connections', { state: 'max' }), 'service'),
        ),
        legend: '{{service}}',
      },
    ],
  }),
  graph({
    title: 'Event loop, p99 of its lag',
    description:
      'How late timers come, by process. Beyond the line a process computes where it should not, or lacks processor.',
    runbook: 'gatehouseeventlooplag',
    more: 'gatehouse-runtime',
    width: 6,
    unit: Seconds,
    bound: boundOf('GatehouseEventLoopLag'),
    queries: [{ of: max(series('nodejs_eventloop_lag_p99_seconds'), 'instance'), legend: '{{instance}}' }],
  }),
  graph({
    title: 'Oldest event in an outbox',
    description:
      'Age of the oldest event that is written but not yet on the bus. It grows while NATS is away; nothing is lost.',
    runbook: 'gatehouseoutboxgrowing',
    more: 'gatehouse-events',
    width: 6,
    unit: Seconds,
    bound: boundOf('GatehouseOutboxGrowing'),
    queries: [{ of: max(series('outbox_oldest_seconds'), 'service'), legend: '{{service}}' }],
  }),
  graph({
    title: 'Active sessions',
    description:
      'Sessions neither ended nor expired, of the largest tenants. A sudden fall is a revocation of many, wanted or not.',
    runbook: 'where-to-look-first',
    more: 'gatehouse-tokens',
    width: 6,
    unit: Short,
    stacked: true,
    queries: [{ of: max(series('session_active'), 'tenant'), legend: '{{tenant}}' }],
  }),
  graph({
    title: 'Instances behind the gateway',
    description:
      'With several instances of a service: those that say they are not ready, and requests of five minutes that were sent to another one because the first did not take them.',
    runbook: 'gatehousenotready',
    width: 6,
    unit: Short,
    queries: [
      { of: orZero(count(compare(series('upstream_instance_ready'), '==', 0))), legend: 'not ready' },
      { of: orZero(sum(increase(series('upstream_retries_total'), '5m'))), legend: 'sent to another' },
    ],
  }),
];

/** The four golden signals of the whole platform. */
export const overview: Definition = {
  uid: 'gatehouse-overview',
  title: 'Overview',
  description: 'Traffic, errors, latency and saturation of the whole platform. Begin here.',
  tenant: true,
  rows: [
    { title: 'Now', panels: now },
    { title: 'Traffic, errors, latency', panels: traffic },
    { title: 'Saturation', panels: saturation },
  ],
};
