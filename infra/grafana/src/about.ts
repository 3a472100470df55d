import type { Builder } from '@grafana/grafana-foundation-sdk/cog';
import {
  DashboardLinkBuilder,
  type Panel,
  type Threshold,
  ThresholdsConfigBuilder,
  ThresholdsMode,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { DataqueryBuilder, PromQueryFormat } from '@grafana/grafana-foundation-sdk/prometheus';
import type { Bound } from './bounds.ts';
import type { Vector } from './series.ts';

/** A query of a panel. */
export interface Query {
  readonly of: Vector<string>;
  /** Name of the series; `{{label}}` stands for the value of a label. */
  readonly legend: string;
  /** Whether single requests are shown as points that lead to their traces. */
  readonly exemplars?: boolean;
}

/** What every panel says of itself. */
export interface About {
  readonly title: string;
  /** What it shows, and what a bad value means. */
  readonly description: string;
  /** The section of docs/runbook.md that says what to do, as an anchor. */
  readonly runbook: string;
  /** The dashboard that shows more of it, by its uid. */
  readonly more?: string;
  /** Of 24. */
  readonly width: number;
  /** Of what the values are, as Grafana calls it. */
  readonly unit: string;
  readonly decimals?: number;
  /** From where on values are bad. */
  readonly bound?: Bound;
}

/** The data source that is chosen above the dashboard. */
export const datasource = { type: 'prometheus', uid: `\${datasource}` };

interface AnyPanelBuilder {
  title(title: string): unknown;
  description(description: string): unknown;
  datasource(ref: typeof datasource): unknown;
  links(links: Builder<unknown>[]): unknown;
  unit(unit: string): unknown;
  decimals(decimals: number): unknown;
  noValue(text: string): unknown;
  thresholds(thresholds: ThresholdsConfigBuilder): unknown;
  span(width: number): unknown;
  height(height: number): unknown;
}

/** Puts onto a panel what every panel has. */
export function describe<P extends Builder<Panel>>(panel: P, about: About, height: number): P {
  const builder = panel as unknown as AnyPanelBuilder;
  builder.title(about.title);
  builder.description(about.description);
  builder.datasource(datasource);
  builder.links([runbookLink(about.runbook), ...(about.more === undefined ? [] : [moreLink(about.more)])]);
  builder.unit(about.unit);
  if (about.decimals !== undefined) builder.decimals(about.decimals);
  builder.noValue('–');
  builder.thresholds(thresholdsOf(about.bound));
  builder.span(about.width);
  builder.height(height);
  return panel;
}

const runbookLink = (anchor: string) =>
  new DashboardLinkBuilder('Runbook').url(`\${runbook}#${anchor}`).targetBlank(true);

const moreLink = (uid: string) =>
  new DashboardLinkBuilder('More').url(`/d/${uid}?\${__url_time_range}&\${__all_variables}`);

function thresholdsOf(bound: Bound | undefined): ThresholdsConfigBuilder {
  const [low, high] = bound?.above === false ? ['red', 'green'] : ['green', 'red'];
  const steps: Threshold[] = [{ color: bound === undefined ? 'blue' : low, value: null }];
  if (bound !== undefined) steps.push({ color: high, value: bound.value });
  return new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps(steps);
}

/** A query over the time that is shown. */
export const ranged = ({ of, legend, exemplars }: Query, at: number): DataqueryBuilder => {
  const query = named(of, at).legendFormat(legend).range();
  return exemplars ? query.exemplar(true) : query;
};

/** A query of now alone. */
export const instant = ({ of, legend }: Query, at: number): DataqueryBuilder =>
  named(of, at).legendFormat(legend).instant();

/** Of now alone, with a column for each label. */
export const tabular = (of: Vector<string>, at: number): DataqueryBuilder =>
  named(of, at).instant().format(PromQueryFormat.Table);

/** Of buckets, over the time that is shown. */
export const bucketed = (of: Vector<'le'>, at: number): DataqueryBuilder =>
  named(of, at).legendFormat('{{le}}').range().format(PromQueryFormat.Heatmap);

const named = (of: Vector<string>, at: number): DataqueryBuilder =>
  new DataqueryBuilder()
    .refId(String.fromCharCode(65 + at))
    .datasource(datasource)
    .expr(of.text);
