import { deleteAccountSteps } from '../account/delete-account-steps.ts';
import { closeTombstones, sweepTombstones } from '../account/tombstones.ts';
import type { NatsIdentityJob } from '../context.ts';
import { checkHealth } from './check-health.ts';
import { countObjects } from './count-objects.ts';

export const clusterJobs: readonly NatsIdentityJob[] = [
  checkHealth,
  countObjects,
  deleteAccountSteps,
  sweepTombstones,
  closeTombstones,
];
