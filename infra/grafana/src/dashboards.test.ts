import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { createMetrics } from '@gatehouse/kit';
import { describe, expect, it } from 'vitest';
import { alerts, boundOf } from './bounds.ts';
import { place } from './grid.ts';
import { dashboardFiles } from './index.ts';
import { nodeMetrics } from './node-metrics.ts';

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly links?: readonly { readonly url: string }[];
  readonly targets?: readonly { readonly expr: string; readonly legendFormat?: string }[];
  readonly fieldConfig?: { readonly defaults: { readonly unit: string } };
}

interface Dashboard {
  readonly uid: string;
  readonly title: string;
  readonly panels: readonly Panel[];
  readonly annotations: { readonly list: readonly { readonly target: { readonly expr: string } }[] };
  readonly templating: { readonly list: readonly { readonly name: string }[] };
}

const root = join(import.meta.dirname, '../../..');
const dashboards = dashboardFiles.map(({ text }) => JSON.parse(text()) as Dashboard);
const expressions = (panels: readonly Panel[]) =>
  panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
const everything = dashboards
  .flatMap(({ panels, annotations }) => [
    ...expressions(panels),
    ...annotations.list.map(({ target }) => target.expr),
  ])
  .join('\n');

/** The anchors of docs/runbook.md, as those who show it make them. */
const anchors = new Set(
  [...readFileSync(join(root, 'docs/runbook.md'), 'utf8').matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  ),
);

describe.each(dashboards)('$title', ({ uid, panels, templating }) => {
  const shown = panels.filter(({ type }) => type !== 'row');

  it('fills its grid: no panel overlaps another, and no line has a hole', () => {
    const cells = new Map<string, string>();
    for (const { title, gridPos } of panels)
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1)
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
          expect(cells.get(`${x},${y}`), `${title} at ${x},${y}`).toBeUndefined();
          cells.set(`${x},${y}`, title);
        }
    const height = Math.max(...panels.map(({ gridPos }) => gridPos.y + gridPos.h));
    expect(cells.size).toBe(24 * height);
  });

  it('has a unit, an explanation and a section of the runbook for each panel, and no two of one name', () => {
    for (const { title, description = '', links = [], fieldConfig } of shown) {
      expect(description.length, title).toBeGreaterThan(20);
      expect(fieldConfig?.defaults.unit, title).toBeTruthy();
      const [, anchor = ''] = /^\$\{runbook\}#(.+)$/.exec(links[0]?.url ?? '') ?? [];
      expect([...anchors], title).toContain(anchor);
    }
    const titles = shown.map(({ title }) => title);
    expect(titles).toEqual([...new Set(titles)]);
    expect(panels.map(({ id }) => id)).toEqual([...new Set(panels.map(({ id }) => id))]);
  });

  it('links only to dashboards that there are', () => {
    const uids = dashboards.map((one) => one.uid);
    const linked = shown
      .flatMap(({ links = [] }) => links.map(({ url }) => /^\/d\/([\w-]+)\?/.exec(url)?.[1]))
      .filter((one) => one !== undefined);
    expect(linked.filter((one) => !uids.includes(one) || one === uid)).toEqual([]);
  });

  it('uses each of its variables, and no other', () => {
    const text = JSON.stringify({ panels, list: templating.list });
    for (const { name } of templating.list) expect(text).toMatch(new RegExp(`\\$\\{?${name}\\b`));
    const known = new Set(templating.list.map(({ name }) => name));
    const used = [...text.matchAll(/\$\{?([a-z]\w*)/g)].map(([, name = '']) => name);
    expect(used.filter((name) => !known.has(name))).toEqual([]);
  });

  it('tells the curves of a panel apart', () => {
    for (const { title, targets = [] } of shown.filter(({ type }) => type === 'timeseries')) {
      const legends = targets.map(({ legendFormat }) => legendFormat);
      expect(legends, title).toEqual([...new Set(legends)]);
      expect(legends, title).not.toContain('');
    }
  });
});

describe('the dashboards', () => {
  it('are the files that are there, each under the name of its uid', () => {
    const files = dashboardFiles.map(({ path }) => basename(path)).sort();
    expect(readdirSync(join(root, 'infra/grafana/dashboards')).sort()).toEqual(files);
    expect(dashboards.map(({ uid }) => `${uid}.json`).sort()).toEqual(files);
  });

  it('show every metric of the platform', () => {
    // When a certificate was looked at matters to its alert alone.
    const hidden = ['tls_certificate_read_timestamp_seconds'];
    const { registry: _registry, ...metrics } = createMetrics({ runtime: false });
    const missing = Object.values(metrics)
      .map(({ name }) => name)
      .filter((name) => !new RegExp(`\\b${name}(?:_bucket|_count|_sum)?\\{`).test(everything));
    expect(missing).toEqual(hidden);
  });

  it('ask for metrics of Node that prom-client measures, with the labels that it has', async () => {
    const { registry } = createMetrics({ runtime: true });
    const page = await registry.metrics();
    for (const name of Object.keys(nodeMetrics).filter((one) => one !== 'up'))
      expect(page).toMatch(new RegExp(`^# TYPE ${name.replace(/_(?:count|sum)$/, '')}\\b`, 'm'));
  });

  it('have a panel for every alert, which links to its section', () => {
    const links = new Set(
      dashboards.flatMap(({ panels }) => panels.flatMap(({ links = [] }) => links.map(({ url }) => url))),
    );
    const missing = [...alerts.keys()].filter((alert) => !links.has(`\${runbook}#${alert.toLowerCase()}`));
    expect(missing).toEqual([]);
  });
});

describe('the bound of an alert', () => {
  it('is the number that its rule compares with', () => {
    expect(boundOf('GatehouseOutboxGrowing')).toEqual({ value: 60, above: true });
    expect(boundOf('GatehouseCertificateExpiring')).toEqual({ value: 21 * 86_400, above: false });
  });

  it('is refused of an alert that there is not', () => {
    expect(() => boundOf('GatehouseRenamed')).toThrow('GatehouseRenamed is no alert');
  });
});

describe('the grid', () => {
  const panel = (title: string, w: number, h: number) => ({
    type: 'stat',
    title,
    transparent: false,
    gridPos: { x: 0, y: 0, w, h },
  });

  it('refuses a line that is not filled, or that is too long, or of unequal heights', () => {
    expect(() => place([panel('a', 12, 4)])).toThrow('a leaves a hole');
    expect(() => place([panel('a', 12, 4), panel('b', 13, 4)])).toThrow('no room for b');
    expect(() => place([panel('a', 12, 4), panel('b', 12, 5)])).toThrow('b is 5 high');
  });
});
