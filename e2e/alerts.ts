import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Binary, startPrometheus, temporaryHome } from '@gatehouse/embedded';
import { type Platform, targetsOf } from './platform.ts';
import { writeScaledRules } from './scaled-rules.ts';

/** How an alert stands, as Prometheus says it. */
export type AlertState = 'inactive' | 'pending' | 'firing';

/** A Prometheus that scrapes a platform every second and evaluates the shipped rules. */
export interface Alerts {
  readonly url: string;
  /** The gravest state among the series of the alert that have these labels. */
  state(alert: string, labels?: Readonly<Record<string, string>>): Promise<AlertState>;
  /** Rules that Prometheus cannot evaluate, with its reason. */
  broken(): Promise<string[]>;
  /** Whether an expression has any series now. */
  holds(expression: string): Promise<boolean>;
  close(): Promise<void>;
}

interface ActiveAlert {
  readonly labels: Readonly<Record<string, string>>;
  readonly state: 'pending' | 'firing';
}

/** Starts one; `factor` is by how much the time of the rules runs faster (see writeScaledRules). */
export async function startAlerts(platform: Platform, binary: Binary, factor: number): Promise<Alerts> {
  const home = temporaryHome('gatehouse-prometheus-');
  const configFile = join(home.path, 'prometheus.json');
  const rule_files = writeScaledRules(home.path, factor);
  const scrape = { scrape_interval: '1s', scrape_timeout: '900ms', evaluation_interval: '1s' };
  writeFileSync(
    configFile,
    JSON.stringify({ global: scrape, rule_files, scrape_configs: scrapeConfigs(platform) }),
  );
  const server = await startPrometheus({ home: join(home.path, 'data'), configFile, binary: binary.path });
  const ask = async (path: string) => {
    const answer = await fetch(`${server.url}/api/v1/${path}`);
    if (!answer.ok) throw new Error(`prometheus says ${answer.status}: ${await answer.text()}`);
    return ((await answer.json()) as { data: unknown }).data;
  };
  return {
    url: server.url,
    async state(alert, labels = {}) {
      const { alerts } = (await ask('alerts')) as { alerts: ActiveAlert[] };
      const wanted = Object.entries({ alertname: alert, ...labels });
      const states = alerts
        .filter((one) => wanted.every(([name, value]) => one.labels[name] === value))
        .map(({ state }) => state);
      return states.includes('firing') ? 'firing' : (states[0] ?? 'inactive');
    },
    async broken() {
      const { groups } = (await ask('rules')) as {
        groups: { rules: { name: string; health: string; lastError?: string }[] }[];
      };
      return groups
        .flatMap(({ rules }) => rules)
        .filter(({ health }) => health !== 'ok')
        .map(({ name, health, lastError }) => `${name}: ${lastError ?? health}`);
    },
    async holds(expression) {
      const { result } = (await ask(`query?query=${encodeURIComponent(expression)}`)) as {
        result: unknown[];
      };
      return result.length > 0;
    },
    async close() {
      await server.stop();
      home.remove();
    },
  };
}

/** The jobs of infra/prometheus, at the addresses that the platform has here. */
function scrapeConfigs(platform: Platform) {
  return platform.services.map((name) => ({
    job_name: name === 'all-in-one' ? 'gatehouse' : `gatehouse-${name}`,
    static_configs: [{ targets: targetsOf(platform, name) }],
  }));
}
