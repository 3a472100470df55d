import type { NatsIdentityRoute } from '../context.ts';
import { exportNsc } from './export-nsc.ts';
import { importNsc } from './import-nsc.ts';
import { serverConfig } from './server-config.ts';

export const nscRoutes: readonly NatsIdentityRoute[] = [importNsc, exportNsc, serverConfig];
