import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createMetrics } from '@gatehouse/kit';
import { parse } from 'yaml';
import { root } from './sources.ts';

/** infra/prometheus. */
export const prometheusFolder = join(root, 'infra/prometheus');

/** A rule that records. */
export interface Recording {
  readonly record: string;
  readonly expr: string;
}

/** A rule that rings. */
export interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/** One case of a promtool test. */
export interface RuleCase {
  readonly name: string;
  readonly input_series: readonly { readonly series: string }[];
  readonly alert_rule_test?: readonly {
    readonly alertname: string;
    readonly exp_alerts?: readonly object[];
  }[];
  readonly promql_expr_test?: readonly {
    readonly expr: string;
    readonly exp_samples?: readonly { readonly labels: string }[];
  }[];
}

/** The files of a folder of infra/prometheus, by name. */
export const filesIn = (folder: 'rules' | 'tests'): string[] =>
  readdirSync(join(prometheusFolder, folder))
    .filter((name) => name.endsWith('.yaml'))
    .sort();

const read = (folder: string, name: string) =>
  parse(readFileSync(join(prometheusFolder, folder, name), 'utf8'));

const rules: readonly (Recording | Alert)[] = filesIn('rules')
  .flatMap((name) => (read('rules', name) as { groups: { rules: (Recording | Alert)[] }[] }).groups)
  .flatMap((group) => group.rules);

export const recordings: readonly Recording[] = rules.filter((rule) => 'record' in rule);
export const alerts: readonly Alert[] = rules.filter((rule) => 'alert' in rule);
export const ruleCases: readonly RuleCase[] = filesIn('tests').flatMap(
  (name) => (read('tests', name) as { tests: RuleCase[] }).tests,
);

/** A metric in an expression, with the labels that its matchers name. */
export interface Selected {
  readonly name: string;
  readonly labels: readonly string[];
}

const words = new Set(
  'and or unless by without on ignoring group_left group_right bool offset inf nan'.split(' '),
);

/** The metrics that an expression asks for. promtool has judged its grammar; this only takes it apart. */
export function selectedIn(expression: string): Selected[] {
  const labelsOf = (matchers: string) =>
    [...matchers.matchAll(/([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)/g)].map(([, label = '']) => label);
  // Texts first: what is in quotes names nothing. Then what names labels, and how long a range is.
  const bare = expression
    .replace(/#.*$/gm, '')
    .replace(/"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'/g, '""')
    .replace(/\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/g, ' ')
    .replace(/\[[^\]]*\]|\boffset\s+\w+/g, ' ');
  return [...bare.matchAll(/([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?\s*(\()?/g)]
    .filter(([, name = '', , call]) => call === undefined && !words.has(name.toLowerCase()))
    .map(([, name = '', matchers = '']) => ({ name, labels: labelsOf(matchers) }));
}

/** What Prometheus and Kubernetes add to every series, and histograms to their buckets. */
export const addedLabels: readonly string[] = ['job', 'instance', 'namespace', 'le'];

interface Registered {
  readonly name: string;
  readonly labelNames?: readonly string[];
}

/** Every series that a process may show or a rule records, with the labels that it may have. */
export function knownSeries(): ReadonlyMap<string, readonly string[]> {
  const known = new Map<string, readonly string[]>([
    ['up', []],
    ['ALERTS', ['alertname', 'alertstate', 'severity']],
  ]);
  const { registry } = createMetrics({ runtime: true });
  for (const metric of registry.getMetricsAsArray()) {
    const { name, labelNames = [] } = metric as unknown as Registered;
    const suffixes = metric.constructor.name === 'Histogram' ? ['_bucket', '_sum', '_count'] : [''];
    for (const suffix of suffixes) known.set(`${name}${suffix}`, labelNames);
  }
  for (const { record, expr } of recordings) known.set(record, groupedBy(expr));
  return known;
}

/** What an expression groups by: the labels that a recorded series may have. */
function groupedBy(expr: string): string[] {
  return [...expr.matchAll(/\bby\s*\(([^)]*)\)/g)].flatMap(([, list = '']) =>
    list.split(',').map((one) => one.trim()),
  );
}
