import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { dashboardFiles } from './index.ts';

// The JSON as it is committed, literal by literal, against the types that Grafana publishes with each release: a field
// that it does not know, a value that it does not take, an option that is missing does not compile.
const root = join(import.meta.dirname, '../../..');
/** Where the compiler finds Grafana's types, and git looks away. */
const scratch = join(root, 'infra/grafana/node_modules/.schema-check');
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

const kinds = {
  stat: 'StatPanelCfg',
  timeseries: 'TimeSeriesPanelCfg',
  heatmap: 'HeatmapPanelCfg',
  'state-timeline': 'StateTimelinePanelCfg',
  table: 'TablePanelCfg',
} as const;

const folderOf = (kind: string) => kind.replace('-', '');

const types = `
import type { AnnotationQuery, Dashboard, DataQuery, Panel, RowPanel } from '@grafana/schema';
${Object.entries(kinds)
  .map(
    ([kind, file]) =>
      `import type * as ${file} from '@grafana/schema/dist/esm/raw/composable/${folderOf(kind)}/panelcfg/x/${file}_types.gen';`,
  )
  .join('\n')}

/** In JSON an enumeration is its values, and where a threshold begins at minus infinity there is null. */
type Json<T> = T extends string ? \`\${T}\` : T extends readonly (infer E)[] ? Json<E>[]
  : T extends object ? { [K in keyof T]: Json<T[K]> | (K extends 'value' ? null : never) } : T;
type PanelOf<Options, Custom> = Json<Omit<Panel<Options, Custom>, 'options'> & { options: Options }>;
/** What the data source itself adds to an annotation. */
interface ByPrometheus { readonly titleFormat: string; readonly textFormat: string; readonly useValueForTime: boolean }
interface PrometheusQuery extends DataQuery { expr: string; range: boolean; instant: boolean; interval: string }
type Frame = Json<Omit<Dashboard, 'panels' | 'annotations'>>
  & { annotations: { list: (Json<AnnotationQuery<PrometheusQuery>> & ByPrometheus)[] } };
`;

interface Parts {
  readonly panels: readonly { readonly type: string; readonly title: string }[];
}

function sourceOf(path: string): string {
  const { panels, ...frame } = JSON.parse(readFileSync(join(root, path), 'utf8')) as Parts;
  const literal = (value: unknown) => JSON.stringify(value, null, 1);
  const checked = panels.map((panel) => {
    const file = kinds[panel.type as keyof typeof kinds];
    if (panel.type === 'row') return `(${literal(panel)}) satisfies Json<RowPanel>;`;
    if (file === undefined) throw new Error(`${panel.title} is of a kind that is not checked: ${panel.type}`);
    const custom = panel.type === 'stat' ? 'object' : `${file}.FieldConfig`;
    return `(${literal(panel)}) satisfies PanelOf<${file}.Options, ${custom}>;`;
  });
  return [types, `(${literal(frame)}) satisfies Frame;`, ...checked].join('\n');
}

/** What the compiler says of sources; empty when it takes them. */
async function compile(sources: Readonly<Record<string, string>>): Promise<string> {
  mkdirSync(scratch, { recursive: true });
  for (const [name, text] of Object.entries(sources)) writeFileSync(join(scratch, name), text);
  const flags = [
    '--ignoreConfig',
    '--noEmit',
    '--strict',
    '--skipLibCheck',
    '--module',
    'nodenext',
    '--target',
    'es2025',
  ];
  const files = Object.keys(sources).map((name) => join(scratch, name));
  const tsc = join(root, 'node_modules/.bin/tsc');
  const ran = await promisify(execFile)(tsc, [...flags, ...files], { cwd: scratch }).catch(
    (error: { stdout: string }) => error,
  );
  return ran.stdout;
}

describe('the dashboards as JSON', () => {
  it('fit the schema that Grafana publishes', async () => {
    const sources = Object.fromEntries(
      dashboardFiles.map(({ path }, at) => [`dashboard-${at}.ts`, sourceOf(path)]),
    );
    expect(await compile(sources)).toBe('');
  });

  it('would be refused with a field or a value that Grafana does not know', async () => {
    const [file] = dashboardFiles;
    const source = sourceOf(file?.path ?? '');
    const said = await compile({
      'field.ts': source.replace('"graphMode"', '"graphModus"'),
      'value.ts': source.replace('"colorMode": "background"', '"colorMode": "backdrop"'),
      'custom.ts': source.replace('"showPoints": "never"', '"showPoints": "seldom"'),
    });
    for (const [name, word] of [
      ['field', 'graphModus'],
      ['value', 'backdrop'],
      ['custom', 'seldom'],
    ])
      expect(said).toMatch(new RegExp(`${name}\\.ts.*${word}`));
  });
});
