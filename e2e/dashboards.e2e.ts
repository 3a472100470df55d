import { findPrometheus } from '@gatehouse/embedded';
import { eventually } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Alerts, startAlerts } from './alerts.ts';
import { type Dashboard, dashboards, Grafana, questionsOf } from './dashboard-queries.ts';
import { useEveryArea, withinReach } from './every-area.ts';
import { newPerson, type Platform, startPlatform } from './platform.ts';

// Every query of every dashboard, as it is committed, asked of a real Prometheus after real traffic.
const prometheus = findPrometheus();
let platform: Platform;
let alerts: Alerts;
let fromSeconds: number;

/** What only a fault has, or TLS, or a second instance of a service: until then the panels show zero. */
const notHere = /^(?:tls_certificate_|upstream_|ALERTS)|status=~"5\.\."/;

const nowSeconds = () => Date.now() / 1000;

/** Waits until Prometheus has read every process once more: a reading that failed has its time too. */
async function scraped(): Promise<void> {
  const since = nowSeconds();
  await eventually(() => alerts.holds(`min(timestamp(up)) > ${since} and min(up) == 1`), 30_000);
}

/** Somebody opens a dashboard. */
async function open({ templating }: Dashboard): Promise<Grafana> {
  const grafana = new Grafana(alerts.url, { fromSeconds, toSeconds: nowSeconds(), scrapeSeconds: 1 });
  expect(await grafana.choose(templating.list), 'variables without a value').toEqual([]);
  return grafana;
}

beforeAll(async () => {
  if (prometheus === undefined) return;
  platform = await startPlatform({ redis: true, env: withinReach });
  fromSeconds = nowSeconds();
  alerts = await startAlerts(platform, prometheus, 1);
});

// A deploy: the process that comes counts the sessions that are there at once, not in a minute.
beforeAll(async () => {
  if (prometheus === undefined) return;
  await newPerson(platform.api);
  const token = platform.services.includes('token') ? 'token' : 'all-in-one';
  await platform.stopService(token);
  await platform.startService(token);
});

beforeAll(async () => {
  if (prometheus !== undefined) await useEveryArea(platform, scraped);
});

afterAll(async () => {
  await alerts?.close();
  await platform?.close();
});

describe.skipIf(prometheus === undefined)('the dashboards', () => {
  it.for(dashboards)('$title has data in every panel, for every mark and variable', async (dashboard) => {
    await eventually(async () => {
      const grafana = await open(dashboard);
      const wrong: string[] = [];
      for (const { where, legend, ...question } of questionsOf(dashboard)) {
        const answered = await grafana.ask(question);
        if (!answered.some(({ values }) => values.some(Number.isFinite)))
          wrong.push(`${where}: no data for ${grafana.interpolated(question.expr)}`);
        const named = [...legend.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = '']) => label);
        const missing = named.filter((label) => answered.some(({ labels }) => labels[label] === undefined));
        if (missing.length > 0) wrong.push(`${where}: the legend names ${missing}, which a series has not`);
      }
      expect(wrong).toEqual([]);
    }, 30_000);
  });

  it.for(dashboards)('$title asks for no series that there cannot be', async (dashboard) => {
    const grafana = await open(dashboard);
    const selectors = questionsOf(dashboard).flatMap(({ expr }) => expr.match(/\w+\{[^}]*\}/g) ?? []);
    expect(selectors.length).toBeGreaterThan(10);
    const missing: string[] = [];
    for (const selector of new Set(selectors))
      if (!notHere.test(selector) && (await grafana.count(selector)) === 0) missing.push(selector);
    expect(missing).toEqual([]);
  });
});
