import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { repositoryRoot } from '@gatehouse/embedded';

interface Target {
  readonly refId: string;
  readonly expr: string;
  readonly instant?: boolean;
  readonly legendFormat?: string;
}

/** A dashboard as Grafana reads it, as far as it asks Prometheus. */
export interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly panels: readonly {
    readonly type: string;
    readonly title: string;
    readonly targets?: readonly Target[];
    readonly fieldConfig?: { readonly defaults: { readonly unit: string } };
    readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  }[];
  readonly templating: { readonly list: readonly Variable[] };
  readonly annotations: { readonly list: readonly { readonly name: string; readonly target: Target }[] };
}

/** A variable above a dashboard. */
export interface Variable {
  readonly name: string;
  readonly type: string;
  readonly query: string | { readonly query: string };
  readonly allValue?: string;
}

/** Something that Grafana asks Prometheus, with variables in it. */
export interface Question {
  /** Where it stands: panel and query, or the annotation. */
  readonly where: string;
  readonly expr: string;
  readonly instant: boolean;
  readonly legend: string;
}

const folder = join(repositoryRoot, 'infra/grafana/dashboards');

/** The dashboards as they are committed. */
export const dashboards: readonly Dashboard[] = readdirSync(folder).map((name) =>
  JSON.parse(readFileSync(join(folder, name), 'utf8')),
);

/** Every query of every panel, and of every annotation. */
export function questionsOf({ panels, annotations }: Dashboard): Question[] {
  return [
    ...panels.flatMap(({ title, targets = [] }) =>
      targets.map((target) => question(`${title} ${target.refId}`, target)),
    ),
    ...annotations.list.map(({ name, target }) => question(name, target)),
  ];
}

const question = (where: string, { expr, instant = false, legendFormat = '' }: Target): Question => ({
  where,
  expr,
  instant,
  legend: legendFormat,
});

/** The time that is shown, and how often Prometheus reads. */
export interface Shown {
  readonly fromSeconds: number;
  readonly toSeconds: number;
  readonly scrapeSeconds: number;
}

/** What one series had, time by time. */
export interface Answered {
  readonly labels: Readonly<Record<string, string>>;
  readonly values: readonly number[];
}

/** Grafana's part of the work: it puts values into the places of variables and asks Prometheus. */
export class Grafana {
  readonly #url: string;
  readonly #shown: Shown;
  readonly #chosen = new Map<string, string>();

  constructor(url: string, shown: Shown) {
    this.#url = url;
    this.#shown = shown;
  }

  /**
   * Asks for the values of the variables, in their order, and chooses all of each, as the dashboards begin.
   * @returns those that have no value.
   */
  async choose(variables: readonly Variable[]): Promise<string[]> {
    const empty: string[] = [];
    for (const { name, type, query, allValue } of variables.filter((one) => one.type === 'query')) {
      const values = await this.#labelValues(typeof query === 'string' ? query : query.query, type);
      if (values.length === 0 && allValue === undefined) empty.push(name);
      this.#chosen.set(name, allValue ?? anyOf(values));
    }
    return empty;
  }

  /** A query as Prometheus gets it. */
  interpolated(expr: string): string {
    const { fromSeconds, toSeconds, scrapeSeconds } = this.#shown;
    const own = new Map([
      // Grafana: max(interval + scrape interval, 4 × scrape interval); the interval is the step.
      ['__rate_interval', `${Math.max(STEP_SECONDS + scrapeSeconds, 4 * scrapeSeconds)}s`],
      ['__range', `${Math.ceil(toSeconds - fromSeconds)}s`],
    ]);
    return expr.replace(/\$\{?(\w+)\}?/g, (whole, name: string) => {
      const value = own.get(name) ?? this.#chosen.get(name);
      if (value === undefined) throw new Error(`nothing for ${whole} in ${expr}`);
      return value;
    });
  }

  /** What Prometheus answers to a query of a panel. */
  async ask({ expr, instant }: Pick<Question, 'expr' | 'instant'>): Promise<Answered[]> {
    const { fromSeconds, toSeconds } = this.#shown;
    const query = this.interpolated(expr);
    const about = instant
      ? { query, time: String(toSeconds) }
      : { query, start: String(fromSeconds), end: String(toSeconds), step: String(STEP_SECONDS) };
    const { result } = await this.#get(instant ? 'query' : 'query_range', about);
    return (result as RawSeries[]).map(({ metric, value, values }) => ({
      labels: metric,
      values: (values ?? (value ? [value] : [])).map(([, text]) => Number(text)),
    }));
  }

  /** How many series a selector has in the time that is shown. */
  async count(selector: string): Promise<number> {
    const { fromSeconds, toSeconds } = this.#shown;
    const series = await this.#get('series', {
      'match[]': this.interpolated(selector),
      start: String(fromSeconds),
      end: String(toSeconds),
    });
    return (series as unknown as unknown[]).length;
  }

  async #labelValues(query: string, type: string): Promise<string[]> {
    const [, match, label] = /^label_values\((.+), (\w+)\)$/.exec(query) ?? [];
    if (match === undefined) throw new Error(`a ${type} that is not understood: ${query}`);
    const values = await this.#get(`label/${label}/values`, { 'match[]': this.interpolated(match) });
    return values as unknown as string[];
  }

  async #get(path: string, query: Record<string, string>): Promise<{ result: unknown[] }> {
    const answer = await fetch(`${this.#url}/api/v1/${path}?${new URLSearchParams(query)}`);
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${JSON.stringify(query)}: ${text}`);
    return JSON.parse(text).data;
  }
}

const STEP_SECONDS = 1;

interface RawSeries {
  readonly metric: Record<string, string>;
  readonly value?: readonly [number, string];
  readonly values?: readonly (readonly [number, string])[];
}

// Grafana escapes what a pattern would read otherwise, twice: once for the pattern, once for the text that holds it.
const escaped = (value: string) => value.replace(/\\/g, '\\\\\\\\').replace(/[$^*{}[\]'+?.()|]/g, '\\\\$&');
const anyOf = (values: readonly string[]) =>
  values.length === 1 ? escaped(values[0] ?? '') : `(${values.map(escaped).join('|')})`;
