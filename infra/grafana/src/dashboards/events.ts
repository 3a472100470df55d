import { OpsPerSecond, Seconds, Short } from '@grafana/grafana-foundation-sdk/units';
import { boundOf, none } from '../bounds.ts';
import type { Definition } from '../frame.ts';
import { graph, heatmap, stat } from '../panels.ts';
import { increase, max, orZero, quantile, rate, sum, top } from '../promql.ts';
import { histogram, series } from '../series.ts';

const latency = 'auth_http_request_duration_seconds';
const search = { route: '/api/audit/events' };

const now = [
  stat({
    title: 'Oldest in an outbox',
    description: 'Age of the oldest event that is written but not yet on the bus.',
    runbook: 'gatehouseoutboxgrowing',
    width: 3,
    unit: Seconds,
    bound: boundOf('GatehouseOutboxGrowing'),
    of: max(series('outbox_oldest_seconds')),
  }),
  stat({
    title: 'In the outboxes',
    description: 'Events that are written but not yet on the bus.',
    runbook: 'gatehouseoutboxgrowing',
    width: 3,
    unit: Short,
    decimals: 0,
    of: sum(max(series('outbox_depth'), 'service')),
  }),
  stat({
    title: 'Largest lag',
    description: 'Events on the bus that the slowest consumer has not acknowledged.',
    runbook: 'gatehouseconsumerlag',
    width: 3,
    unit: Short,
    decimals: 0,
    bound: boundOf('GatehouseConsumerLag'),
    of: max(series('consumer_lag')),
  }),
  stat({
    title: 'Dead letters',
    description:
      'Events that a consumer gave up on, in the time that is shown. They are kept: see why, mend it, replay them.',
    runbook: 'gatehousedeadletters',
    width: 3,
    unit: Short,
    decimals: 0,
    curve: false,
    bound: none,
    of: orZero(sum(increase(series('dead_letters_total')))),
  }),
  stat({
    title: 'Gaps in the audit',
    description:
      'Events that audit did not have long after they were published, and got again, in the time that is shown. The bus lost them; the trail did not.',
    runbook: 'gatehouseauditgap',
    width: 3,
    unit: Short,
    decimals: 0,
    curve: false,
    bound: none,
    of: orZero(sum(increase(series('audit_gap_total')))),
  }),
  stat({
    title: 'Into the audit, p95',
    description: 'From the commit of a change to its row in the audit. Two seconds are promised.',
    runbook: 'gatehouseauditlaghigh',
    width: 3,
    unit: Seconds,
    bound: boundOf('GatehouseAuditLagHigh'),
    of: quantile(0.95, { of: 'audit_lag_seconds' }),
  }),
  stat({
    title: 'Newest checkpoint',
    description:
      'Age of the newest signed checkpoint of the trail. It may be old when nothing happened since.',
    runbook: 'gatehouseauditcheckpointstale',
    width: 3,
    unit: Seconds,
    of: max(series('audit_checkpoint_age_seconds')),
  }),
  stat({
    title: 'Faults of the trail',
    description:
      'Checkpoints kept outside that this trail is not the one of, not yet acknowledged. Somebody changed the trail, or an older copy was restored.',
    runbook: 'gatehouseaudittrailfault',
    width: 3,
    unit: Short,
    bound: none,
    of: max(series('audit_chain_faults_open')),
  }),
];

const roads = [
  graph({
    title: 'Events published, by type',
    description: 'The ten most frequent types that went from an outbox onto the bus.',
    runbook: 'gatehouseoutboxgrowing',
    width: 12,
    unit: OpsPerSecond,
    stacked: true,
    queries: [{ of: top(10, sum(rate(series('events_published_total')), 'type')), legend: '{{type}}' }],
  }),
  graph({
    title: 'Events consumed, by result',
    description:
      'ok is handled once; duplicate came again and did nothing; retried failed and comes again; dead was given up on.',
    runbook: 'gatehousedeadletters',
    width: 12,
    unit: OpsPerSecond,
    stacked: true,
    queries: [
      {
        of: sum(rate(series('events_consumed_total')), 'consumer', 'result'),
        legend: '{{consumer}} {{result}}',
      },
    ],
  }),
  graph({
    title: 'Oldest event in an outbox',
    description:
      'Grows while NATS is away, and falls at once when it is back. Growing with NATS there: the relay of that service fails, its log says why.',
    runbook: 'gatehouseoutboxgrowing',
    width: 8,
    unit: Seconds,
    bound: boundOf('GatehouseOutboxGrowing'),
    queries: [{ of: max(series('outbox_oldest_seconds'), 'service'), legend: '{{service}}' }],
  }),
  graph({
    title: 'Events in the outboxes',
    description: 'Written and not yet on the bus.',
    runbook: 'gatehouseoutboxgrowing',
    width: 8,
    unit: Short,
    stacked: true,
    queries: [{ of: max(series('outbox_depth'), 'service'), legend: '{{service}}' }],
  }),
  graph({
    title: 'Events that audit has not confirmed',
    description:
      'On the bus, and kept in the outbox until audit says that it has them. It grows while audit is away.',
    runbook: 'gatehouseauditlaghigh',
    width: 8,
    unit: Short,
    stacked: true,
    queries: [{ of: max(series('outbox_unconfirmed'), 'service'), legend: '{{service}}' }],
  }),
  graph({
    title: 'Lag of the consumers',
    description:
      'Events on the bus that a consumer has not acknowledged. A lag that stays is a consumer that is too slow, or that fails on one event again and again.',
    runbook: 'gatehouseconsumerlag',
    width: 12,
    unit: Short,
    bound: boundOf('GatehouseConsumerLag'),
    queries: [{ of: max(series('consumer_lag'), 'consumer'), legend: '{{consumer}}' }],
  }),
  graph({
    title: 'Dead letters and gaps',
    description: 'Five minutes each. Neither should happen.',
    runbook: 'gatehousedeadletters',
    width: 12,
    unit: Short,
    bound: none,
    queries: [
      { of: orZero(sum(increase(series('dead_letters_total'), '5m'))), legend: 'dead letters' },
      { of: orZero(sum(increase(series('audit_gap_total'), '5m'))), legend: 'gaps in the audit' },
    ],
  }),
];

const trail = [
  graph({
    title: 'Into the audit',
    description: 'From the commit of a change to its row in the audit; beyond the line the alert fires.',
    runbook: 'gatehouseauditlaghigh',
    width: 12,
    unit: Seconds,
    bound: boundOf('GatehouseAuditLagHigh'),
    queries: [
      { of: quantile(0.5, { of: 'audit_lag_seconds' }), legend: 'p50' },
      { of: quantile(0.95, { of: 'audit_lag_seconds' }), legend: 'p95' },
      { of: quantile(0.99, { of: 'audit_lag_seconds' }), legend: 'p99' },
    ],
  }),
  heatmap({
    title: 'How the times into the audit are spread',
    description: 'What is beyond two seconds waited for the bus, or for audit.',
    runbook: 'gatehouseauditlaghigh',
    width: 12,
    unit: Seconds,
    of: sum(increase(histogram('audit_lag_seconds', 'bucket'), '$__rate_interval'), 'le'),
  }),
  graph({
    title: 'Age of the newest checkpoint',
    description:
      'Checkpoints are made as events come: it may grow while nothing happens, not while something does.',
    runbook: 'gatehouseauditcheckpointstale',
    width: 8,
    unit: Seconds,
    queries: [
      { of: max(series('audit_checkpoint_age_seconds'), 'instance'), legend: '{{instance}}' },
      { of: max(series('audit_checkpoint_interval_seconds')), legend: 'due after' },
    ],
  }),
  graph({
    title: 'Checkpoints that failed',
    description:
      'In five minutes: that could not be signed, or handed to the file or URL outside. Without them nobody outside can tell that the trail was changed.',
    runbook: 'gatehouseauditcheckpointfailing',
    width: 8,
    unit: Short,
    bound: none,
    queries: [
      { of: orZero(sum(increase(series('audit_checkpoint_failures_total'), '5m'))), legend: 'failed' },
    ],
  }),
  graph({
    title: 'Time of a search',
    description: 'Of GET /api/audit/events. Searches without a bound in time look at every month.',
    runbook: 'gatehouselatencyp95high',
    width: 8,
    unit: Seconds,
    queries: [
      { of: quantile(0.5, { of: latency, where: search }), legend: 'p50' },
      { of: quantile(0.95, { of: latency, where: search }), legend: 'p95' },
    ],
  }),
];

/** Outboxes, bus, consumers, audit trail. */
export const events: Definition = {
  uid: 'gatehouse-events',
  title: 'Audit and events',
  description:
    'The road of an event from its change over outbox and bus into the audit, and the trail there.',
  rows: [
    { title: 'Now', panels: now },
    { title: 'Outboxes, bus, consumers', panels: roads },
    { title: 'The trail', panels: trail },
  ],
};
