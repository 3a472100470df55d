import {
  OpsPerSecond,
  PercentUnit,
  RequestsPerSecond,
  Seconds,
  Short,
} from '@grafana/grafana-foundation-sdk/units';
import { boundOf, none } from '../bounds.ts';
import type { Definition } from '../frame.ts';
import { graph, heatmap, stat } from '../panels.ts';
import { calculate, increase, max, orZero, quantile, rate, share, sum } from '../promql.ts';
import { histogram, series } from '../series.ts';

const logins = series('auth_login_total');
// Whose password was judged: who was refused before that did not fail.
const judged = series('auth_login_total', { result: /success|mfa_required|failure/ });
const refused = series('auth_login_total', { result: 'failure' });
const hash = 'auth_password_hash_duration_seconds';

const now = [
  stat({
    title: 'Sign-ins',
    description: 'Sign-ins that were tried, with whatever result.',
    runbook: 'gatehouseloginfailureshigh',
    width: 4,
    unit: OpsPerSecond,
    decimals: 2,
    of: sum(rate(logins)),
  }),
  stat({
    title: 'Wrong credentials',
    description:
      'Part of the sign-ins that failed for a wrong address or password. People mistype; a tenth of them all at once do not: somebody guesses.',
    runbook: 'gatehouseloginfailureshigh',
    width: 4,
    unit: PercentUnit,
    decimals: 1,
    bound: boundOf('GatehouseLoginFailuresHigh'),
    of: share(sum(rate(refused)), sum(rate(judged))),
  }),
  stat({
    title: 'Accounts locked',
    description: 'Accounts that were locked in the time that is shown, after too many wrong passwords.',
    runbook: 'gatehouselockoutshigh',
    width: 4,
    unit: Short,
    decimals: 0,
    curve: false,
    of: orZero(sum(increase(series('auth_lockout_events_total', { action: 'locked' })))),
  }),
  stat({
    title: 'Refused by a limit',
    description: 'Requests that were answered with 429 in the time that is shown.',
    runbook: 'gatehouseratelimitsustained',
    width: 4,
    unit: Short,
    decimals: 0,
    curve: false,
    of: orZero(sum(increase(series('auth_rate_limit_hits_total')))),
  }),
  stat({
    title: 'No place to hash',
    description:
      'Sign-ins and registrations that were answered with 503 hash_busy in the time that is shown: more passwords at once than MAX_CONCURRENT_HASHES.',
    runbook: 'gatehousehashbusy',
    width: 4,
    unit: Short,
    decimals: 0,
    curve: false,
    bound: none,
    of: calculate(
      { text: `(${orZero(sum(increase(series('auth_login_total', { result: 'hash_busy' })))).text})` },
      '+',
      { text: `(${orZero(sum(increase(series('auth_register_total', { result: 'hash_busy' })))).text})` },
    ),
  }),
  stat({
    title: 'Registrations',
    description: 'Accounts that were registered in the time that is shown.',
    runbook: 'where-to-look-first',
    width: 4,
    unit: Short,
    decimals: 0,
    curve: false,
    of: orZero(sum(increase(series('auth_register_total', { result: 'success' })))),
  }),
];

const results = [
  graph({
    title: 'Sign-ins by result',
    description:
      'success and mfa_required are as they should be; failure is a wrong address or password, locked a locked account, rate_limited a limit, hash_busy a lack of processors.',
    runbook: 'gatehouseloginfailureshigh',
    width: 12,
    unit: OpsPerSecond,
    stacked: true,
    queries: [{ of: sum(rate(logins), 'result'), legend: '{{result}}' }],
  }),
  graph({
    title: 'Wrong credentials over time',
    description:
      'Part of the sign-ins that failed for a wrong address or password; beyond the line the alert fires.',
    runbook: 'gatehouseloginfailureshigh',
    width: 12,
    unit: PercentUnit,
    max: 1,
    bound: boundOf('GatehouseLoginFailuresHigh'),
    queries: [{ of: share(sum(rate(refused)), sum(rate(judged))), legend: 'wrong credentials' }],
  }),
  graph({
    title: 'Lockouts begun and lifted',
    description:
      'Lockouts begun (locked) and lifted (unlocked). Many at once, on accounts that have nothing in common, are an attack: limit the addresses that they come from.',
    runbook: 'gatehouselockoutshigh',
    width: 8,
    unit: OpsPerSecond,
    queries: [{ of: sum(rate(series('auth_lockout_events_total')), 'action'), legend: '{{action}}' }],
  }),
  graph({
    title: 'Refused by a limit, by scope',
    description:
      'Requests answered with 429. A scope that refuses without end is an attack, or a client that does not heed Retry-After, or a proxy that TRUST_PROXY does not know: then all callers share one address.',
    runbook: 'gatehouseratelimitsustained',
    width: 8,
    unit: RequestsPerSecond,
    stacked: true,
    queries: [{ of: sum(rate(series('auth_rate_limit_hits_total')), 'scope'), legend: '{{scope}}' }],
  }),
  graph({
    title: 'Registrations by result',
    description: 'Many email_taken are somebody trying which addresses have an account.',
    runbook: 'where-to-look-first',
    width: 8,
    unit: OpsPerSecond,
    stacked: true,
    queries: [{ of: sum(rate(series('auth_register_total')), 'result'), legend: '{{result}}' }],
  }),
];

const times = [
  graph({
    title: 'Time of a sign-in',
    description:
      'With its hash and its wait for a place to hash. It is the same for addresses without an account.',
    runbook: 'gatehousesigninslow',
    width: 12,
    unit: Seconds,
    bound: boundOf('GatehouseSignInSlow'),
    queries: [
      { of: quantile(0.5, { of: 'auth_duration_seconds', by: ['strategy'] }), legend: '{{strategy}} p50' },
      { of: quantile(0.95, { of: 'auth_duration_seconds', by: ['strategy'] }), legend: '{{strategy}} p95' },
      { of: quantile(0.99, { of: 'auth_duration_seconds', by: ['strategy'] }), legend: '{{strategy}} p99' },
    ],
  }),
  heatmap({
    title: 'How the times of sign-ins are spread',
    description: 'A second band above the first is the queue for a place to hash.',
    runbook: 'gatehousehashbusy',
    width: 12,
    unit: Seconds,
    of: sum(increase(histogram('auth_duration_seconds', 'bucket'), '$__rate_interval'), 'le'),
  }),
  graph({
    title: 'Time of a hash',
    description:
      'Of one password hash alone. It follows ARGON2_MEMORY_KIB and ARGON2_ITERATIONS; when it grows without them, the processor is shared with something else.',
    runbook: 'gatehousehashbusy',
    width: 12,
    unit: Seconds,
    queries: [
      { of: quantile(0.5, { of: hash, by: ['operation'] }), legend: '{{operation}} p50' },
      { of: quantile(0.95, { of: hash, by: ['operation'] }), legend: '{{operation}} p95' },
    ],
  }),
  graph({
    title: 'Places to hash',
    description:
      'Hashes that are computed and those that wait, by process. A queue that stays ends in 503 hash_busy: add processors or instances of auth.',
    runbook: 'gatehousehashbusy',
    width: 12,
    unit: Short,
    queries: [
      { of: max(series('auth_password_hashes_in_flight'), 'instance'), legend: 'computed: {{instance}}' },
      { of: max(series('auth_password_hash_queue'), 'instance'), legend: 'waiting: {{instance}}' },
    ],
  }),
];

/** Sign-ins, lockouts, limits, hashes. */
export const signIn: Definition = {
  uid: 'gatehouse-sign-in',
  title: 'Sign-in',
  description: 'Sign-ins and registrations by result, lockouts, limits, and what hashing costs.',
  rows: [
    { title: 'Now', panels: now },
    { title: 'Results', panels: results },
    { title: 'Times and hashing', panels: times },
  ],
};
