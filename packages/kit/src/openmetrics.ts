import type { Registry } from 'prom-client';

/** Content type of OpenMetrics 1.0, which Prometheus asks for before any other. */
export const OPENMETRICS_TYPE = 'application/openmetrics-text; version=1.0.0; charset=utf-8';

/** Whether an Accept header asks for OpenMetrics. */
export const wantsOpenMetrics = (accept: string | undefined): boolean =>
  accept
    ?.split(',')
    .some(
      (one) => /^\s*application\/openmetrics-text\b/i.test(one) && !/;\s*q=0(?:\.0*)?\s*(?:;|$)/.test(one),
    ) ?? false;

interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly values: readonly Sample[];
}

interface Sample {
  readonly value: number;
  readonly metricName?: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly exemplar?: Exemplar | null;
}

interface Exemplar {
  readonly labelSet: Readonly<Record<string, string>>;
  readonly value: number;
  readonly timestamp: number;
}

/**
 * The metrics in OpenMetrics 1.0, with the exemplars that the older format has no place for. prom-client would write it
 * only instead of the older one, and renames the counters of the registry for it.
 */
export async function openMetrics(registry: Pick<Registry, 'getMetricsAsArray'>): Promise<string> {
  // Its type leaves out what every metric has.
  const metrics = registry.getMetricsAsArray() as unknown as readonly { get(): Promise<Family> }[];
  const families = await Promise.all(metrics.map(async (metric) => familyOf(await metric.get())));
  return `${families.flat().join('\n')}\n# EOF\n`;
}

function familyOf(family: Family): string[] {
  const { name, type } = family;
  // A family of counters is named without the suffix that its samples have; a name without it may not be a counter.
  const counts = type === 'counter' && name.endsWith('_total');
  const named = counts ? name.slice(0, -'_total'.length) : name;
  const typed = type === 'counter' && !counts ? 'unknown' : type;
  return [
    `# TYPE ${named} ${typed}`,
    `# HELP ${named} ${escaped(family.help)}`,
    ...family.values.map((sample) => lineOf(name, sample)),
  ];
}

function lineOf(name: string, { metricName = name, labels, value, exemplar }: Sample): string {
  const line = `${metricName}${labelsOf(labels)} ${numberOf(value)}`;
  if (!exemplar) return line;
  return `${line} # ${labelsOf(exemplar.labelSet)} ${numberOf(exemplar.value)} ${exemplar.timestamp}`;
}

function labelsOf(labels: Readonly<Record<string, string | number>>): string {
  const parts = Object.entries(labels).map(([name, value]) => `${name}="${escaped(String(value))}"`);
  return parts.length === 0 ? '' : `{${parts.join()}}`;
}

const escaped = (text: string): string =>
  text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"');

const numberOf = (value: number): string =>
  value === Number.POSITIVE_INFINITY ? '+Inf' : value === Number.NEGATIVE_INFINITY ? '-Inf' : String(value);
