import { createMetrics } from '@gatehouse/kit';
import { code, codes, page, table } from './markdown.ts';

const introduction = `
\`GET /metrics\` of every process, in the Prometheus text format. Who may read it is set by \`METRICS_GUARD\` (see
docs/config.md): by default only the machine itself.

No label carries an address, an e-mail or a user id; \`tenant\` holds the largest tenants and \`other\`. Whatever is sent,
the number of series stays bounded (\`e2e/cardinality.e2e.ts\`). Node's own metrics (\`nodejs_*\`, \`process_*\`: event loop,
heap, garbage collection, CPU) are on the same page and not listed here.

A metric is shown by the processes that measure it. Counters that alerts rest on begin at 0, so that \`increase()\` sees the
first of each; the others appear with their first increment per label. A gauge appears when it is first measured:
\`tls_certificate_*\` only for connections with TLS (cluster connections over WebSocket are not read), the times of signing
keys only for managed ones.

\`auth_mfa_total\` and \`auth_dependency_up{dep="smtp"}\` come with the features that they count: there is neither a second
factor nor mail yet. \`infra/prometheus\` has the scrape configurations, recording rules and alerts that rest on these.
`;

/** One metric as its registry knows it. */
export interface DeclaredMetric {
  /** Name of the property of the kit's metrics, by which code sets it. */
  readonly property: string;
  readonly name: string;
  readonly type: string;
  readonly help: string;
  readonly labels: readonly string[];
}

interface PromMetric {
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly string[];
  readonly constructor: { readonly name: string };
}

/** Every metric that the kit declares. */
export function declaredMetrics(): DeclaredMetric[] {
  const { registry: _registry, ...metrics } = createMetrics({ runtime: false });
  return Object.entries(metrics).map(([property, metric]) => {
    const declared = metric as unknown as PromMetric;
    const { name, help, labelNames: labels } = declared;
    return { property, name, help, labels, type: declared.constructor.name.toLowerCase() };
  });
}

/** docs/metrics.md. */
export function metricsPage(): string {
  const rows = declaredMetrics()
    .sort((a, b) => a.name.localeCompare(b.name, 'en'))
    .map(({ name, type, labels, help }) => [code(name), type, codes(labels), help]);
  return page('Metrics', introduction, [table(['Name', 'Type', 'Labels', 'Meaning'], rows)]);
}
