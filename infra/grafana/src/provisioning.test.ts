import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { findKustomize } from '@gatehouse/embedded';
import { describe, expect, it } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { dashboardFiles } from './index.ts';

const root = join(import.meta.dirname, '../../..');
const read = (path: string) => readFileSync(join(root, path), 'utf8');
const names = dashboardFiles.map(({ path }) => basename(path));

describe('provisioning', () => {
  it('tells Grafana the time between two scrapes as Prometheus has it, in both modes', () => {
    const [source] = parse(read('infra/grafana/provisioning/datasources/prometheus.yaml')).datasources;
    for (const name of ['prometheus.yml', 'prometheus-split.yml'])
      expect(source.jsonData.timeInterval).toBe(
        parse(read(`infra/prometheus/${name}`)).global.scrape_interval,
      );
  });

  it('has a data source of the type that the dashboards ask for', () => {
    const [source] = parse(read('infra/grafana/provisioning/datasources/prometheus.yaml')).datasources;
    for (const { text } of dashboardFiles) {
      const [first] = JSON.parse(text()).templating.list;
      expect([first.type, first.query]).toEqual(['datasource', source.type]);
    }
  });

  it('reads the folder that the page tells to mount', () => {
    const [provider] = parse(read('infra/grafana/provisioning/dashboards/gatehouse.yaml')).providers;
    expect(read('infra/grafana/README.md')).toContain(
      `./infra/grafana/dashboards:${provider.options.path}:ro`,
    );
  });
});

const kustomize = findKustomize();

describe.skipIf(kustomize === undefined)('the ConfigMaps', () => {
  it('hold every dashboard, under the label that the sidecar looks for', () => {
    const rendered = execFileSync(kustomize?.path ?? '', ['build', join(root, 'infra/grafana')], {
      encoding: 'utf8',
    });
    const maps = parseAllDocuments(rendered).map((document) => document.toJS());
    expect(maps.flatMap(({ data }) => Object.keys(data)).sort()).toEqual(names.toSorted());
    for (const { data, metadata } of maps) {
      expect(metadata.labels.grafana_dashboard).toBe('1');
      for (const [name, text] of Object.entries(data))
        expect(text).toBe(read(`infra/grafana/dashboards/${name}`));
    }
  });
});
