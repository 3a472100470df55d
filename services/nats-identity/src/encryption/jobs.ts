import type { NatsIdentityJob } from '../context.ts';

export const encryptionJobs: readonly NatsIdentityJob[] = [];
