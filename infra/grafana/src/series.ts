import { createMetrics, type Metrics } from '@gatehouse/kit';
import { nodeMetrics } from './node-metrics.ts';

// What the code measures, as types: a renamed metric or label fails the type check of every panel that shows it.
type Declared = Omit<Metrics, 'registry'>;
type Metric = Declared[keyof Declared];
type NodeMetrics = typeof nodeMetrics;

/** Metrics with buckets. */
export type HistogramName = Extract<Metric, { observe: unknown }>['name'];

/** Metrics with one value for each set of labels. */
export type PlainName = Exclude<Metric['name'], HistogramName> | keyof NodeMetrics;

/** Labels that Prometheus adds to whatever it reads from a process. */
export type TargetLabel = 'job' | 'instance';

/** Labels of a metric. */
export type LabelOf<N extends HistogramName | PlainName> =
  | TargetLabel
  | (N extends keyof NodeMetrics
      ? NodeMetrics[N][number]
      : Extract<Metric, { readonly name: N }>['labelNames'][number]);

/** What a label must be: a text, one that fits a pattern, or none that fits a pattern. */
export type Match = string | RegExp | { readonly not: RegExp };

/** Part of PromQL that gives series with the labels `L`. */
export interface Vector<L extends string> {
  readonly text: string;
  /** For the type alone. */
  readonly labels?: L;
}

/** A selector of raw series. */
export interface Series<L extends string> extends Vector<L> {
  readonly selector: true;
}

const labelsByName = new Map<string, readonly string[]>(Object.entries(nodeMetrics));
for (const { name, labelNames } of declaredMetrics()) labelsByName.set(name, labelNames);

function declaredMetrics(): Metric[] {
  const { registry: _registry, ...metrics } = createMetrics({ runtime: false });
  return Object.values(metrics);
}

/** The variables of the dashboards, and the label that each is about. */
const narrowing = ['service', 'tenant'] as const;

/** The series of a metric, of the instances, services and tenants that are chosen above the dashboard. */
export function series<N extends PlainName>(
  name: N,
  where: Partial<Record<LabelOf<N>, Match>> = {},
): Series<LabelOf<N>> {
  return { selector: true, text: select(name, name, where) };
}

/** Buckets, number or sum of a histogram; see `series`. */
export function histogram<N extends HistogramName, P extends 'bucket' | 'count' | 'sum'>(
  name: N,
  part: P,
  where: Partial<Record<LabelOf<N>, Match>> = {},
): Series<LabelOf<N> | (P extends 'bucket' ? 'le' : never)> {
  return { selector: true, text: select(name, `${name}_${part}`, where) };
}

function select(metric: string, name: string, where: Readonly<Record<string, Match | undefined>>): string {
  const labels = labelsByName.get(metric) ?? [];
  const chosen = narrowing
    .filter((label) => labels.includes(label) && where[label] === undefined)
    .map((label) => `${label}=~"$${label}"`);
  const given = Object.entries(where).map(([label, match]) => matcher(label, match as Match));
  return `${name}{${['instance=~"$instance"', ...chosen, ...given].join(', ')}}`;
}

function matcher(label: string, match: Match): string {
  if (typeof match === 'string') return `${label}=${JSON.stringify(match)}`;
  if (match instanceof RegExp) return `${label}=~${pattern(match)}`;
  return `${label}!~${pattern(match.not)}`;
}

// Prometheus' patterns need no escaped slash, and know none.
const pattern = ({ source }: RegExp): string => JSON.stringify(source.replaceAll('\\/', '/'));
