import {
  BigValueColorMode,
  BigValueGraphMode,
  GraphThresholdsStyleConfigBuilder,
  GraphThresholdsStyleMode,
  LegendDisplayMode,
  LegendPlacement,
  ReduceDataOptionsBuilder,
  SortOrder,
  StackingConfigBuilder,
  StackingMode,
  TableCellDisplayMode,
  TableSortByFieldStateBuilder,
  TooltipDisplayMode,
  VisibilityMode,
  VizLegendOptionsBuilder,
  VizTooltipOptionsBuilder,
} from '@grafana/grafana-foundation-sdk/common';
import {
  type DynamicConfigValue,
  FieldColorBuilder,
  FieldColorModeId,
  MappingType,
  type Panel,
} from '@grafana/grafana-foundation-sdk/dashboard';
import {
  PanelBuilder as HeatmapBuilder,
  HeatmapColorMode,
  HeatmapColorOptionsBuilder,
  YAxisConfigBuilder,
} from '@grafana/grafana-foundation-sdk/heatmap';
import { PanelBuilder as StatBuilder } from '@grafana/grafana-foundation-sdk/stat';
import { PanelBuilder as StateTimelineBuilder } from '@grafana/grafana-foundation-sdk/statetimeline';
import { PanelBuilder as TableBuilder } from '@grafana/grafana-foundation-sdk/table';
import { PanelBuilder as TimeseriesBuilder } from '@grafana/grafana-foundation-sdk/timeseries';
import { type About, bucketed, describe, instant, type Query, ranged, tabular } from './about.ts';
import type { Vector } from './series.ts';

const STAT_HEIGHT = 4;
const GRAPH_HEIGHT = 8;

/** One number, red when it is beyond its bound. */
export function stat(
  about: About & {
    readonly of: Vector<string>;
    /** Of what is reckoned over the whole range there is no curve. */
    readonly curve?: boolean;
  },
): Panel {
  const query = { of: about.of, legend: about.title };
  const panel = new StatBuilder()
    .withTarget(about.curve === false ? instant(query, 0) : ranged(query, 0))
    .reduceOptions(new ReduceDataOptionsBuilder().calcs(['lastNotNull']))
    .graphMode(about.curve === false ? BigValueGraphMode.None : BigValueGraphMode.Area)
    .colorMode(about.bound === undefined ? BigValueColorMode.None : BigValueColorMode.Background);
  return describe(panel, about, STAT_HEIGHT).build();
}

const leastTops: Readonly<Record<string, number>> = { short: 1, percentunit: 0.01, ops: 0.1, reqps: 0.1 };

/** Curves over time; a dashed line where its bound is. */
export function graph(
  about: About & {
    readonly queries: readonly Query[];
    readonly stacked?: boolean;
    readonly max?: number;
    readonly height?: number;
  },
): Panel {
  const panel = new TimeseriesBuilder()
    .targets(about.queries.map(ranged))
    .min(0)
    .lineWidth(1)
    .fillOpacity(about.stacked ? 30 : 8)
    .showPoints(VisibilityMode.Never)
    .colorScheme(new FieldColorBuilder().mode(FieldColorModeId.PaletteClassicByName))
    .legend(legend())
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending));
  if (about.max !== undefined) panel.max(about.max);
  // Nothing at all should lie on the ground, not in the middle of an axis around zero.
  else if (about.unit in leastTops) panel.axisSoftMax(leastTops[about.unit] ?? 1);
  if (about.stacked) panel.stacking(new StackingConfigBuilder().mode(StackingMode.Normal).group('A'));
  if (about.bound !== undefined)
    panel.thresholdsStyle(new GraphThresholdsStyleConfigBuilder().mode(GraphThresholdsStyleMode.Dashed));
  return describe(panel, about, about.height ?? GRAPH_HEIGHT).build();
}

const legend = () =>
  new VizLegendOptionsBuilder()
    .displayMode(LegendDisplayMode.List)
    .placement(LegendPlacement.Bottom)
    .showLegend(true)
    .calcs([]);

/** How the answers to requests, or other times, are spread. */
export function heatmap(about: About & { readonly of: Vector<'le'> }): Panel {
  const panel = new HeatmapBuilder()
    .withTarget(bucketed(about.of, 0))
    .color(new HeatmapColorOptionsBuilder().mode(HeatmapColorMode.Scheme).scheme('Oranges').steps(64))
    .yAxis(new YAxisConfigBuilder().unit(about.unit))
    .showLegend();
  return describe(panel, { ...about, unit: 'short' }, GRAPH_HEIGHT).build();
}

/** What 1 and 0 are called, and whether 1 is the good one. */
export interface States {
  readonly one: string;
  readonly zero: string;
  readonly good: 0 | 1;
}

/** A bar for each series, whose colour says what was the case when. */
export function states(
  about: About & { readonly queries: readonly Query[]; readonly states: States; readonly height?: number },
): Panel {
  const { one, zero, good } = about.states;
  const result = (text: string, value: 0 | 1) => ({
    text,
    color: value === good ? 'green' : 'red',
    index: value,
  });
  const panel = new StateTimelineBuilder()
    .targets(about.queries.map(ranged))
    .mappings([{ type: MappingType.ValueToText, options: { '0': result(zero, 0), '1': result(one, 1) } }])
    .colorScheme(new FieldColorBuilder().mode(FieldColorModeId.Thresholds))
    .showValue(VisibilityMode.Never)
    .mergeValues(true)
    .legend(legend())
    .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Single));
  return describe(panel, about, about.height ?? GRAPH_HEIGHT).build();
}

/** A column of a table that holds numbers. */
export interface Column {
  readonly of: Vector<string>;
  readonly name: string;
  readonly unit: string;
  readonly decimals?: number;
}

/** Rows by the labels that all columns share, the largest of the first column first. */
export function table(
  about: Omit<About, 'unit' | 'decimals' | 'bound'> & {
    readonly labels: readonly string[];
    readonly columns: readonly Column[];
    readonly height?: number;
  },
): Panel {
  const { columns, labels } = about;
  const column = (at: number) => (columns.length === 1 ? 'Value' : `Value #${String.fromCharCode(65 + at)}`);
  const [largest] = columns;
  const panel = new TableBuilder()
    .cellOptions({ type: TableCellDisplayMode.Auto })
    .targets(columns.map(({ of }, at) => tabular(of, at)))
    .withTransformation({ id: 'merge', options: {} })
    .withTransformation({
      id: 'organize',
      options: {
        excludeByName: { Time: true },
        indexByName: Object.fromEntries(
          [...labels, ...columns.map((_, at) => column(at))].map((name, at) => [name, at]),
        ),
        renameByName: Object.fromEntries(columns.map(({ name }, at) => [column(at), name])),
      },
    })
    .overrides(
      columns.map(({ name, ...look }) => ({
        matcher: { id: 'byName', options: name },
        properties: looks(look),
      })),
    );
  if (largest !== undefined)
    panel.sortBy([new TableSortByFieldStateBuilder().displayName(largest.name).desc(true)]);
  const built = describe(panel, { ...about, unit: 'short' }, about.height ?? GRAPH_HEIGHT).build();
  // The library sets a footer as Grafana before 12 had it.
  const { footer: _footer, ...options } = built.options;
  return { ...built, options };
}

const looks = ({ unit, decimals }: Omit<Column, 'name'>): DynamicConfigValue[] => [
  { id: 'unit', value: unit },
  ...(decimals === undefined ? [] : [{ id: 'decimals', value: decimals }]),
];
