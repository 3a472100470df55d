import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

/** From where on a value is bad: on a stat its colour, on a graph a line. */
export interface Bound {
  readonly value: number;
  /** Whether the bad values are those above it (or below). */
  readonly above: boolean;
}

interface RuleFile {
  readonly groups: readonly {
    readonly rules: readonly { readonly alert?: string; readonly expr: string }[];
  }[];
}

const folder = join(import.meta.dirname, '../../prometheus/rules');
const comparison = / (>=|<=|==|>|<) (\d+(?:\.\d+)?)(?: \* (\d+))?/;

/** The expressions of all alerts by their names. */
export const alerts: ReadonlyMap<string, string> = new Map(
  readdirSync(folder)
    .filter((name) => name.endsWith('.yaml'))
    .flatMap((name) => (parse(readFileSync(join(folder, name), 'utf8')) as RuleFile).groups)
    .flatMap(({ rules }) => rules)
    .flatMap(({ alert, expr }) => (alert === undefined ? [] : [[alert, expr] as const])),
);

/**
 * The bound of an alert, read from its rule, so that a panel turns red where the alert does: the first number that
 * something is compared with.
 * @throws when there is no such alert, or nothing that it compares with a number.
 */
export function boundOf(alert: string): Bound {
  const [, operator, value, times = '1'] = comparison.exec(alerts.get(alert) ?? '') ?? [];
  if (operator === undefined) throw new Error(`${alert} is no alert that compares with a number`);
  return { value: Number(value) * Number(times), above: operator.startsWith('>') };
}

/** One of what there should be none of. */
export const none: Bound = { value: 1, above: true };
