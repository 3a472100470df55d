import { OpsPerSecond, RequestsPerSecond, Seconds, Short } from '@grafana/grafana-foundation-sdk/units';
import { none } from '../bounds.ts';
import type { Definition } from '../frame.ts';
import { graph, stat, states } from '../panels.ts';
import { compare, count, increase, max, orZero, quantile, rate, sum, until } from '../promql.ts';
import { series } from '../series.ts';

const refreshes = series('auth_refresh_total');
// Of the process: one that runs all services is none of those that can be chosen.
const stale = series('token_revocation_feed_stale', { service: /.+/ });
const latency = 'auth_http_request_duration_seconds';

const now = [
  stat({
    title: 'Active sessions',
    description: 'Sessions neither ended nor expired, counted once a minute.',
    runbook: 'where-to-look-first',
    width: 4,
    unit: Short,
    decimals: 0,
    of: sum(max(series('session_active'), 'tenant')),
  }),
  stat({
    title: 'Refreshes',
    description: 'Refresh tokens that were spent for a successor.',
    runbook: 'where-to-look-first',
    width: 4,
    unit: OpsPerSecond,
    decimals: 2,
    of: sum(rate(series('session_refreshes_total'))),
  }),
  stat({
    title: 'Replays',
    description:
      'Spent refresh tokens that came again, in the time that is shown: each ended its session. One may be a broken client; several are stolen tokens.',
    runbook: 'gatehouserefreshreplay',
    width: 4,
    unit: Short,
    decimals: 0,
    curve: false,
    bound: none,
    of: orZero(sum(increase(series('auth_refresh_total', { result: 'replay' })))),
  }),
  stat({
    title: 'Stale revocation feeds',
    description:
      'Processes that ask the database whether a session lives, because they heard nothing on the feed for too long. Nothing is let through; the database has the work.',
    runbook: 'gatehouserevocationfeedstale',
    width: 4,
    unit: Short,
    bound: none,
    of: orZero(count(compare(stale, '==', 1))),
  }),
  stat({
    title: 'Age of the signing key',
    description: 'Of the key that signs access tokens now.',
    runbook: 'gatehousesigningkeynearrotation',
    width: 4,
    unit: Seconds,
    of: max(series('token_signing_key_age_seconds')),
  }),
  stat({
    title: 'Until its rotation',
    description:
      'Time until the managed signing key is replaced by schedule; below nothing it should have been.',
    runbook: 'gatehousesigningkeyoverdue',
    width: 4,
    unit: Seconds,
    bound: { value: 0, above: false },
    of: until(max(series('token_signing_key_rotation_due_timestamp_seconds'))),
  }),
];

const sessions = [
  graph({
    title: 'Refreshes by result',
    description:
      'ok and retried (the same answer again, within the grace) are as they should be. expired and invalid are old clients; replay is a spent token that came again.',
    runbook: 'gatehouserefreshreplay',
    width: 12,
    unit: OpsPerSecond,
    stacked: true,
    queries: [{ of: sum(rate(refreshes), 'result'), legend: '{{result}}' }],
  }),
  graph({
    title: 'Replays a minute',
    description:
      'Spent refresh tokens that came again. Each one wrote security.refresh_replay_detected with address and client of both users of the token.',
    runbook: 'gatehouserefreshreplay',
    width: 12,
    unit: Short,
    bound: none,
    queries: [
      {
        of: orZero(sum(increase(series('auth_refresh_total', { result: 'replay' }), '1m'))),
        legend: 'replays',
      },
    ],
  }),
  graph({
    title: 'Active sessions by tenant',
    description:
      'Of the largest tenants; the rest together as other. A sudden fall is a revocation of many, wanted or not: the audit says whose.',
    runbook: 'where-to-look-first',
    width: 12,
    unit: Short,
    stacked: true,
    queries: [{ of: max(series('session_active'), 'tenant'), legend: '{{tenant}}' }],
  }),
  graph({
    title: 'Tokens issued',
    description: 'By kind. Access tokens without refresh tokens are those of clients.',
    runbook: 'where-to-look-first',
    width: 12,
    unit: OpsPerSecond,
    queries: [{ of: sum(rate(series('token_issued_total')), 'kind'), legend: '{{kind}}' }],
  }),
];

const byRoute = (route: string) => [
  { of: quantile(0.5, { of: latency, where: { route } }), legend: 'p50' },
  { of: quantile(0.95, { of: latency, where: { route } }), legend: 'p95' },
  { of: quantile(0.99, { of: latency, where: { route } }), legend: 'p99' },
];

const trust = [
  graph({
    title: 'Time of a refresh',
    description:
      'A refresh is two statements and a signature. When it is slow, Postgres or the event loop of token is.',
    runbook: 'gatehouselatencyp95high',
    width: 8,
    unit: Seconds,
    queries: byRoute('/api/auth/refresh'),
  }),
  graph({
    title: 'Requests for the public keys',
    description:
      'GET /.well-known/jwks.json. Verifiers keep the answer: many requests are one that does not, or that meets a key it does not know.',
    runbook: 'where-to-look-first',
    width: 8,
    unit: RequestsPerSecond,
    queries: [
      {
        of: sum(rate(series('auth_http_requests_total', { route: '/.well-known/jwks.json' })), 'status'),
        legend: '{{status}}',
      },
    ],
  }),
  graph({
    title: 'Signing keys by state',
    description:
      'One is current; one that is next is published before it signs; previous ones stay while their tokens live. None that is current: no token can be issued.',
    runbook: 'gatehousesigningkeyoverdue',
    width: 8,
    unit: Short,
    queries: [{ of: max(series('token_signing_keys'), 'state'), legend: '{{state}}' }],
  }),
  states({
    title: 'Revocation feed',
    description:
      'Whether each process hears of revocations in time. While it does not, it asks the database for every request.',
    runbook: 'gatehouserevocationfeedstale',
    width: 24,
    unit: Short,
    height: 5,
    states: { one: 'stale', zero: 'fresh', good: 0 },
    queries: [
      {
        of: max(stale, 'service', 'instance'),
        legend: '{{service}} {{instance}}',
      },
    ],
  }),
];

/** Sessions, refreshes, signing keys, revocation. */
export const tokens: Definition = {
  uid: 'gatehouse-tokens',
  title: 'Tokens and sessions',
  description: 'Sessions, refreshes and their replays, signing keys, and how fast revocations are heard of.',
  tenant: true,
  rows: [
    { title: 'Now', panels: now },
    { title: 'Sessions', panels: sessions },
    { title: 'Keys and trust', panels: trust },
  ],
};
