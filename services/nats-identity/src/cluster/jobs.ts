import type { NatsIdentityJob } from '../context.ts';

export const clusterJobs: readonly NatsIdentityJob[] = [];
