import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  findPrometheus,
  type RunningServer,
  repositoryRoot,
  startPrometheus,
  temporaryHome,
} from '@gatehouse/embedded';
import { eventually } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { mode, newPerson, type Platform, startPlatform, targetsOf } from './platform.ts';

const binary = findPrometheus();
const folder = join(repositoryRoot, 'infra/prometheus');
const secret = 'a-scraper-knows-this-secret';
/** As the shipped configuration has it: this machine is let in, or whoever shows the secret. */
const guard: Readonly<Record<string, string>> =
  mode === 'one' ? { METRICS_GUARD: 'cidr' } : { METRICS_GUARD: 'secret', METRICS_GUARD_SECRET: secret };

interface ScrapeConfig {
  readonly job_name: string;
  readonly static_configs: { readonly targets: string[] }[];
}

interface Target {
  readonly labels: Readonly<Record<string, string>>;
  readonly health: string;
  readonly lastError: string;
}

/** Nothing is answered with 5xx here, nobody speaks TLS, and no checkpoint is handed over to anybody. */
const onlyWhenItHappens = /5\.\.|^tls_/;

/** The metrics that the rules select, each with its matchers: what has a colon in its name is a rule's own. */
const selection = /(?<![:\w])[a-z]\w*_\w*\b(?!:)(?:\{[^}]*\})?(?!\s*\()/g;

function selectors(): string[] {
  const texts = readdirSync(join(folder, 'rules')).map((name) =>
    readFileSync(join(folder, 'rules', name), 'utf8'),
  );
  const found = texts
    .flatMap((text) => (parse(text) as { groups: { rules: { expr: string }[] }[] }).groups)
    .flatMap(({ rules }) => rules)
    .flatMap(({ expr }) => expr.match(selection) ?? []);
  return [...new Set(found)].filter((one) => !onlyWhenItHappens.test(one));
}

/** The shipped configuration with the addresses of this installation, looking every two seconds. */
function adapted(platform: Platform): Record<string, unknown> {
  const file = mode === 'one' ? 'prometheus.yml' : 'prometheus-split.yml';
  const shipped = parse(readFileSync(join(folder, file), 'utf8'), { merge: true });
  return {
    ...shipped,
    global: { scrape_interval: '2s', scrape_timeout: '2s', evaluation_interval: '1s' },
    rule_files: (shipped.rule_files as string[]).map((files) => join(folder, files)),
    scrape_configs: (shipped.scrape_configs as ScrapeConfig[]).map((scrape) => {
      const service = mode === 'one' ? 'all-in-one' : scrape.job_name.replace(/^gatehouse-/, '');
      return { ...scrape, static_configs: [{ targets: targetsOf(platform, service) }] };
    }),
  };
}

describe.skipIf(binary === undefined)('a Prometheus with the shipped configuration', () => {
  const home = temporaryHome('gatehouse-prometheus-');
  let platform: Platform;
  let prometheus: RunningServer;
  beforeAll(async () => {
    platform = await startPlatform({ env: { ...guard, RATE_LIMIT_ENABLED: 'true' } });
    const configFile = join(home.path, 'prometheus.yml');
    writeFileSync(configFile, JSON.stringify(adapted(platform)));
    writeFileSync(join(home.path, 'metrics-secret'), `${secret}\n`, { mode: 0o600 });
    prometheus = await startPrometheus({
      home: join(home.path, 'data'),
      configFile,
      binary: binary?.path ?? '',
    });
  });
  afterAll(async () => {
    await prometheus?.stop();
    await platform?.close();
    home.remove();
  });

  async function ask<Data>(path: string): Promise<Data> {
    const answer = await fetch(`${prometheus.url}/api/v1/${path}`);
    expect(answer.status).toBe(200);
    return ((await answer.json()) as { data: Data }).data;
  }
  const query = async (expression: string) =>
    (
      await ask<{ result: { metric: Record<string, string>; value: [number, string] }[] }>(
        `query?query=${encodeURIComponent(expression)}`,
      )
    ).result;
  const targets = async () => (await ask<{ activeTargets: Target[] }>('targets')).activeTargets;

  test.skipIf(mode === 'one')('is let in because it shows the secret', async () => {
    const asked = platform.instances.map((name) => fetch(`${platform.urlOf(name)}/metrics`));
    expect((await Promise.all(asked)).map(({ status }) => status)).toEqual(asked.map(() => 403));
  });

  test('sees every process up', async () => {
    const jobs = platform.services.flatMap((name) =>
      targetsOf(platform, name).map(() => (mode === 'one' ? 'gatehouse' : `gatehouse-${name}`)),
    );
    await eventually(async () => {
      const found = await targets();
      expect(
        found.map(({ labels, health, lastError }) => `${labels.job} ${health}${lastError}`).sort(),
      ).toEqual(jobs.map((job) => `${job} up`).sort());
    }, 30_000);
  });

  test('evaluates every rule without an error', async () => {
    await newPerson(platform.api);
    const rules = await eventually(async () => {
      const { groups } = await ask<{
        groups: { rules: { name: string; health: string; lastError?: string }[] }[];
      }>('rules');
      const all = groups.flatMap((group) => group.rules);
      expect(all.filter(({ health }) => health === 'unknown')).toEqual([]);
      return all;
    }, 30_000);
    expect(rules.length).toBeGreaterThan(40);
    expect(rules.filter(({ health }) => health !== 'ok')).toEqual([]);
  });

  test('counts each service under its own name, in one process as in five', async () => {
    const names = async () =>
      (await query('count by (service) (gatehouse_build_info)')).map(({ metric }) => metric.service).sort();
    await eventually(async () =>
      expect(await names()).toEqual(['audit', 'auth', 'gateway', 'nats-identity', 'token']),
    );
    expect((await query('sum(gatehouse_ready)'))[0]?.value[1]).toBe(String(platform.instances.length));
    await eventually(async () => {
      await platform.api.get('/api/auth/me');
      expect(await query('gatehouse:http_requests:rate5m > 0')).not.toEqual([]);
    }, 30_000);
  });

  test('finds what every alert rests on, before anything has happened', async () => {
    const missing = async () => {
      const asked = selectors().map(async (one) => ((await query(one)).length === 0 ? [one] : []));
      return (await Promise.all(asked)).flat();
    };
    expect(selectors().length).toBeGreaterThan(40);
    await eventually(async () => expect(await missing()).toEqual([]), 30_000);
  });

  test('has nothing to ring for: what an installation shows at its start is no fault', async () => {
    const firing = await query('ALERTS{alertstate="firing"}');
    expect(firing.map(({ metric }) => metric.alertname)).toEqual([]);
    // What would ring if it stayed; how fast a busy machine is says nothing of an installation.
    const pending = await query(
      'ALERTS{alertname!~"GatehouseEventLoopLag|GatehouseCpuHigh|GatehouseLatency.*"}',
    );
    expect(pending.map(({ metric }) => metric.alertname)).toEqual([]);
  });
});
