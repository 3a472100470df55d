import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { repositoryRoot } from '@gatehouse/embedded';
import { parse } from 'yaml';

/** A rule as Prometheus reads it: `record` or `alert` names it. */
export interface Rule {
  readonly record?: string;
  readonly alert?: string;
  readonly expr: string;
  readonly for?: string;
  readonly keep_firing_for?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

interface RuleFile {
  readonly groups: readonly { readonly name: string; readonly interval?: string; readonly rules: Rule[] }[];
}

const rulesFolder = join(repositoryRoot, 'infra/prometheus/rules');
const namesIn = (folder: string) => readdirSync(folder).filter((name) => /\.ya?ml$/.test(name));
const read = (name: string): RuleFile => parse(readFileSync(join(rulesFolder, name), 'utf8'));

/** Every alert that the platform ships. */
export function shippedAlerts(): (Rule & { readonly alert: string })[] {
  return namesIn(rulesFolder)
    .flatMap((name) => read(name).groups)
    .flatMap(({ rules }) => rules)
    .filter((rule): rule is Rule & { alert: string } => rule.alert !== undefined);
}

/**
 * Writes the shipped rule files into a folder with their time running faster: how long a condition must hold (`for`,
 * `keep_firing_for`), the ranges within expressions (`[5m]`, `[1h:1m]`, `offset 5m`) and the time between evaluations are
 * divided by the factor. Nothing else is touched: not a threshold, not a metric, not a label. A range keeps at least
 * `RANGE_SECONDS_MIN`, or there would be no two scrapes in it.
 * @returns the names of the files.
 */
export function writeScaledRules(folder: string, factor: number): string[] {
  return namesIn(rulesFolder).map((name) => {
    const groups = read(name).groups.map((group) => ({
      ...group,
      interval: '1s',
      rules: group.rules.map((rule) => scaledRule(rule, factor)),
    }));
    // JSON is YAML.
    writeFileSync(join(folder, name), JSON.stringify({ groups }, null, 2));
    return name;
  });
}

const RANGE_SECONDS_MIN = 4;

function scaledRule(rule: Rule, factor: number): Rule {
  return {
    ...rule,
    expr: scaledExpression(rule.expr, factor),
    ...(rule.for !== undefined && { for: scaled(rule.for, factor, 1) }),
    ...(rule.keep_firing_for !== undefined && { keep_firing_for: scaled(rule.keep_firing_for, factor, 1) }),
  };
}

const duration = String.raw`(?:\d+(?:ms|[smhdwy]))+`;

/** Exported for its test: an expression with its ranges and offsets divided. */
export function scaledExpression(expression: string, factor: number): string {
  const range = new RegExp(`\\[\\s*(${duration})(?:\\s*:\\s*(${duration})?)?\\s*\\]`, 'g');
  const offset = new RegExp(`\\boffset\\s+(${duration})`, 'g');
  return expression
    .replace(range, (whole, length: string, step: string | undefined) => {
      const divided = scaled(length, factor, RANGE_SECONDS_MIN);
      if (!whole.includes(':')) return `[${divided}]`;
      return `[${divided}:${step === undefined ? '' : scaled(step, factor, 1)}]`;
    })
    .replace(offset, (_, length: string) => `offset ${scaled(length, factor, 1)}`);
}

const unitSeconds: Readonly<Record<string, number>> = {
  ...{ ms: 0.001, s: 1, m: 60, h: 3_600 },
  ...{ d: 86_400, w: 604_800, y: 31_536_000 },
};

function scaled(text: string, factor: number, leastSeconds: number): string {
  const seconds = [...text.matchAll(/(\d+)(ms|[smhdwy])/g)].reduce(
    (sum, [, amount, unit = 's']) => sum + Number(amount) * (unitSeconds[unit] ?? 0),
    0,
  );
  if (seconds === 0) return '0s';
  return `${Math.round(Math.max(leastSeconds, seconds / factor) * 1000)}ms`;
}
