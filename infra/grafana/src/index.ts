import { events } from './dashboards/events.ts';
import { natsIdentity } from './dashboards/nats-identity.ts';
import { overview } from './dashboards/overview.ts';
import { runtime } from './dashboards/runtime.ts';
import { signIn } from './dashboards/sign-in.ts';
import { tokens } from './dashboards/tokens.ts';
import { dashboardOf } from './frame.ts';

/** A dashboard as a file that Grafana provisions. */
export interface DashboardFile {
  /** From the root of the repository. */
  readonly path: string;
  readonly text: () => string;
}

/** Every dashboard, in the order in which one reads them. */
export const dashboardFiles: readonly DashboardFile[] = [
  overview,
  signIn,
  tokens,
  natsIdentity,
  events,
  runtime,
].map((definition) => ({
  path: `infra/grafana/dashboards/${definition.uid}.json`,
  text: () => `${JSON.stringify(dashboardOf(definition), null, 2)}\n`,
}));
