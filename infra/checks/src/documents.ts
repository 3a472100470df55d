import { dashboardFiles } from '@gatehouse/grafana';
import { configPage } from './document-config.ts';
import { eventsPage } from './document-events.ts';
import { metricsPage } from './document-metrics.ts';
import { permissionsPage } from './document-permissions.ts';
import { problemsPage } from './document-problems.ts';
import { prometheusRule } from './document-prometheus-rule.ts';
import { routesPage } from './document-routes.ts';

/** A page of docs/, a dashboard or a manifest that is made from the code. */
export interface Document {
  readonly path: string;
  readonly text: () => string;
}

/** All of them. */
export const documents: readonly Document[] = [
  { path: 'docs/config.md', text: configPage },
  { path: 'docs/events.md', text: eventsPage },
  { path: 'docs/metrics.md', text: metricsPage },
  { path: 'docs/permissions.md', text: permissionsPage },
  { path: 'docs/problems.md', text: problemsPage },
  { path: 'docs/routes.md', text: routesPage },
  { path: 'infra/k8s/components/monitoring/prometheus-rule.yaml', text: prometheusRule },
  ...dashboardFiles,
];
