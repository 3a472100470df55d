import type { NatsIdentityJob } from '../context.ts';

export const userJobs: readonly NatsIdentityJob[] = [];
