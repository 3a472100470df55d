import { execFileSync } from 'node:child_process';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createProgram } from '@gatehouse/cli/program';
import { findPromtool, temporaryHome } from '@gatehouse/embedded';
import { baseSettings } from '@gatehouse/kit';
import { describe, expect, it, test } from 'vitest';
import { declaredSettings } from './document-config.ts';
import {
  type Alert,
  addedLabels,
  alerts,
  filesIn,
  knownSeries,
  prometheusFolder,
  recordings,
  ruleCases,
  selectedIn,
} from './prometheus-files.ts';
import { root } from './sources.ts';

const promtool = findPromtool();

/** Runs promtool in infra/prometheus; its words are the error of a test that fails. */
function run(...args: string[]): void {
  try {
    execFileSync(promtool?.path ?? '', args, { cwd: prometheusFolder, encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    throw new Error(`promtool ${args.join(' ')}\n${stdout}${stderr}`);
  }
}

const inFolder = (folder: 'rules' | 'tests') => filesIn(folder).map((name) => `${folder}/${name}`);

describe.skipIf(promtool === undefined)('promtool', () => {
  // In a copy, beside which lies what an operator has to put there.
  test.each(['prometheus.yml', 'prometheus-split.yml'])('accepts %s', (file) => {
    const home = temporaryHome('gatehouse-promtool-');
    cpSync(prometheusFolder, home.path, { recursive: true });
    writeFileSync(join(home.path, 'metrics-secret'), 'a-scraper-knows-this-secret');
    run('check', 'config', join(home.path, file));
    home.remove();
  });

  test('accepts the rules', () => run('check', 'rules', '--lint=all', '--lint-fatal', ...inFolder('rules')));

  // Half a second of work, and a store on the disk for each case: a busy disk takes its time.
  test.each(filesIn('tests'))(
    'finds that the alerts fire and stay silent as %s says',
    { timeout: 180_000 },
    (name) => run('test', 'rules', `tests/${name}`),
  );
});

const firing = (alert: string) =>
  ruleCases
    .flatMap((one) => one.promql_expr_test ?? [])
    .filter(({ expr }) => expr.includes(`alertname="${alert}"`) && expr.includes('alertstate="firing"'))
    .flatMap((one) => one.exp_samples ?? []);
const silent = (alert: string) =>
  ruleCases
    .flatMap((one) => one.alert_rule_test ?? [])
    .filter(({ alertname, exp_alerts }) => alertname === alert && exp_alerts?.length === 0);

const known = knownSeries();
const wrongIn = (where: string, expression: string) =>
  selectedIn(expression).flatMap(({ name, labels }) => {
    const has = known.get(name);
    if (has === undefined) return [`${where}: ${name} does not exist`];
    return labels
      .filter((label) => !has.includes(label) && !addedLabels.includes(label))
      .map((label) => `${where}: ${name} has no label ${label}`);
  });

describe('the rules of infra/prometheus', () => {
  it('ask only for metrics and labels that exist', () => {
    expect(alerts.length).toBeGreaterThan(30);
    const ofRules = [
      ...alerts.map((rule) => ({ name: rule.alert, expr: rule.expr })),
      ...recordings.map((rule) => ({ name: rule.record, expr: rule.expr })),
    ];
    expect(ofRules.flatMap(({ name, expr }) => wrongIn(name, expr))).toEqual([]);
  });

  it('are tested with metrics and labels that exist', () => {
    const wrong = ruleCases.flatMap(({ name, input_series }) =>
      input_series.flatMap(({ series }) => wrongIn(name, series)),
    );
    expect(wrong).toEqual([]);
  });

  it('are each tested to fire and to stay silent', () => {
    expect(alerts.filter(({ alert }) => firing(alert).length === 0).map(({ alert }) => alert)).toEqual([]);
    expect(alerts.filter(({ alert }) => silent(alert).length === 0).map(({ alert }) => alert)).toEqual([]);
  });

  it('have names of their own, a severity, words, and a page', () => {
    expect(new Set(alerts.map(({ alert }) => alert)).size).toBe(alerts.length);
    for (const { alert, labels, annotations } of alerts) {
      expect(['critical', 'warning', 'info'], alert).toContain(labels.severity);
      expect(annotations.summary, alert).toMatch(/\S/);
      expect(annotations.description?.length, alert).toBeGreaterThan(60);
      expect(annotations.runbook_url).toBe(`docs/runbook.md#${alert.toLowerCase()}`);
    }
  });

  it('have a heading each in the runbook', () => {
    const text = readFileSync(join(root, 'docs/runbook.md'), 'utf8');
    const headings = new Set([...text.matchAll(/^#+ +(\w+)\s*$/gm)].map(([, heading]) => heading));
    expect(alerts.map(({ alert }) => alert).filter((alert) => !headings.has(alert))).toEqual([]);
  });
});

const textsOf = ({ annotations }: Alert): string => Object.values(annotations).join('\n');

describe('what an alert says', () => {
  it('names only labels that it has when it fires', () => {
    const wrong = alerts.flatMap((rule) => {
      const samples = firing(rule.alert).map(({ labels }) => labels);
      return [...textsOf(rule).matchAll(/\$labels\.(\w+)/g)]
        .filter(([, label]) => !samples.some((sample) => sample.includes(`${label}="`)))
        .map(([, label]) => `${rule.alert}: ${label}`);
    });
    expect(wrong).toEqual([]);
  });

  it('names only settings that there are', () => {
    const settings = [...Object.keys(baseSettings), ...declaredSettings().map(({ name }) => name)];
    const wrong = alerts.flatMap((rule) =>
      [...textsOf(rule).matchAll(/\b[A-Z][A-Z0-9]*(?:_[A-Z0-9*]+)+/g)]
        .filter(([name]) => {
          const form = new RegExp(`^${name.replaceAll('*', '[A-Z0-9_]+')}$`);
          return !settings.some((setting) => form.test(setting));
        })
        .map(([name]) => `${rule.alert}: ${name}`),
    );
    expect(wrong).toEqual([]);
  });

  it('names only metrics that there are', () => {
    const wrong = alerts.flatMap((rule) =>
      [...textsOf(rule).matchAll(/\b[a-z][a-z0-9]*(?:_[a-z0-9]+)+(?=\{|\b)/g)]
        .map(([name]) => name)
        .filter((name) => !known.has(name) && !known.has(`${name}_bucket`) && !otherWords.has(name))
        .map((name) => `${rule.alert}: ${name}`),
    );
    expect(wrong).toEqual([]);
  });

  it('names only commands that there are', () => {
    const wrong = alerts.flatMap((rule) =>
      [...textsOf(rule).matchAll(/\bgatehouse ((?:[a-z-]+ ?)+)/g)]
        .map(([, words = '']) => words.trim().split(' '))
        .filter((words) => !isCommand(words))
        .map((words) => `${rule.alert}: gatehouse ${words.join(' ')}`),
    );
    expect(wrong).toEqual([]);
  });
});

/** Problems, tables and causes that look like metrics. */
const otherWords = new Set(
  'hash_busy trace_id pg_stat_activity max_connections not_stored not_enforced rate_limited refresh_replay_detected'.split(
    ' ',
  ),
);

/** Whether the words begin with a whole command; what follows are its arguments, or the sentence goes on. */
function isCommand(words: readonly string[]): boolean {
  let command = createProgram();
  for (const word of words) {
    const next = command.commands.find((one) => one.name() === word);
    if (next === undefined) break;
    command = next;
  }
  return command.commands.length === 0;
}
