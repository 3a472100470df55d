import {
  type AnnotationQuery,
  AnnotationQueryBuilder,
  ConstantVariableBuilder,
  type Dashboard,
  DashboardBuilder,
  DashboardCursorSync,
  type DashboardLink,
  DashboardLinkBuilder,
  DashboardLinkType,
  DatasourceVariableBuilder,
  type Panel,
  QueryVariableBuilder,
  RowBuilder,
  type RowPanel,
  type VariableModel,
  VariableRefresh,
  VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { DataqueryBuilder } from '@grafana/grafana-foundation-sdk/prometheus';
import { datasource } from './about.ts';
import { place } from './grid.ts';
import { deploys, keyRotations, type Mark } from './marks.ts';

/** A row of panels under a heading. */
export interface Row {
  readonly title: string;
  readonly panels: readonly Panel[];
}

/** A dashboard as it is defined. */
export interface Definition {
  /** Never changes: links and bookmarks name it. */
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  /** Variables besides data source, service and instance. */
  readonly tenant?: boolean;
  readonly rows: readonly Row[];
}

const TAG = 'gatehouse';
// Whoever provisions the dashboards puts the address of their copy here: see infra/grafana/README.md.
const RUNBOOK = 'https://docs.example.com/gatehouse/runbook.md';

/** The dashboard as Grafana reads it. */
export function dashboardOf({ uid, title, description, tenant, rows }: Definition): Dashboard {
  const built = new DashboardBuilder(`Gatehouse / ${title}`)
    .uid(uid)
    .description(description)
    .tags([TAG])
    .time({ from: 'now-3h', to: 'now' })
    .refresh('30s')
    .timezone('browser')
    .tooltip(DashboardCursorSync.Crosshair)
    .editable()
    .variables([
      new DatasourceVariableBuilder('datasource').label('Data source').type('prometheus'),
      // Of one installation alone there is no such label: then `.*` fits what is not there.
      choice('namespace', 'label_values(gatehouse_build_info, namespace)').allValue('.*'),
      choice('service', 'label_values(gatehouse_build_info{namespace=~"$namespace"}, service)'),
      choice(
        'instance',
        'label_values(gatehouse_build_info{namespace=~"$namespace", service=~"$service"}, instance)',
      ),
      ...(tenant ? [choice('tenant', 'label_values(session_active{instance=~"$instance"}, tenant)')] : []),
      new ConstantVariableBuilder('runbook').value(RUNBOOK),
    ])
    .annotations([deploys, keyRotations].map(annotation))
    .links([
      new DashboardLinkBuilder('Gatehouse')
        .type(DashboardLinkType.Dashboards)
        .tags([TAG])
        .asDropdown(false)
        .includeVars(true)
        .keepTime(true),
      new DashboardLinkBuilder('Runbook').type(DashboardLinkType.Link).url(`\${runbook}`).targetBlank(true),
    ])
    .build();
  return {
    ...withoutLeftovers(built),
    panels: place(rows.flatMap(({ title: heading, panels }) => [rowOf(heading), ...panels])),
  };
}

/**
 * The library sets what Grafana 13 does not know of (settings of another kind of variable), and would hide links and
 * marks in a menu.
 */
function withoutLeftovers(built: Dashboard): Dashboard {
  const { templating = {}, annotations = {}, links = [] } = built;
  const list = templating.list?.map(({ auto: _auto, auto_min: _min, auto_count: _count, ...rest }) => rest);
  const marks = annotations.list?.map(({ placement: _placement, ...rest }) => rest);
  return {
    ...built,
    templating: { list: list as VariableModel[] },
    annotations: { ...annotations, list: marks as AnnotationQuery[] },
    links: links.map(({ placement: _placement, ...rest }) => rest as DashboardLink),
  };
}

const rowOf = (title: string): RowPanel => new RowBuilder(title).build();

function choice(name: string, query: string): QueryVariableBuilder {
  return new QueryVariableBuilder(name)
    .label(name.charAt(0).toUpperCase() + name.slice(1))
    .datasource(datasource)
    .query({ qryType: 1, query, refId: 'PrometheusVariableQueryEditor-VariableQuery' })
    .refresh(VariableRefresh.OnTimeRangeChanged)
    .sort(VariableSort.AlphabeticalAsc)
    .multi(true)
    .includeAll(true)
    .current({ text: ['All'], value: ['$__all'] });
}

const annotation = (mark: Mark): AnnotationQueryBuilder =>
  new AnnotationQueryBuilder()
    .name(mark.name)
    .datasource(datasource)
    .enable(true)
    .iconColor(mark.colour)
    .target(
      new DataqueryBuilder().refId('Anno').datasource(datasource).expr(mark.of.text).interval('60s').range(),
    )
    .titleFormat(mark.title)
    .textFormat(mark.text)
    .useValueForTime(mark.valueIsTime);
