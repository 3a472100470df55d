import { createMetrics } from '@gatehouse/kit';
import { code, codes, page, table } from './markdown.ts';

const introduction = `
\`GET /metrics\` of every process, in the Prometheus text format. Who may read it is set by \`METRICS_GUARD\` (see
docs/config.md): by default only the machine itself.

No label carries an address, an e-mail or a user id; \`tenant\` holds the largest tenants and \`other\`. A counter
appears with its first increment per label, so alerts use \`rate()\` or \`increase()\`. Node's own metrics
(\`nodejs_*\`, \`process_*\`: event loop, heap, garbage collection, CPU) are on the same page and not listed here.
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
