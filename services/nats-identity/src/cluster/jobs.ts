import type { NatsIdentityJob } from '../context.ts';
import { checkHealth } from './check-health.ts';
import { countObjects } from './count-objects.ts';

export const clusterJobs: readonly NatsIdentityJob[] = [checkHealth, countObjects];
