import { deleteAccountSteps } from '../account/delete-account-steps.ts';
import { followTenants } from '../account/follow-tenants.ts';
import { closeTombstones, sweepTombstones } from '../account/tombstones.ts';
import type { NatsIdentityJob } from '../context.ts';
import { checkHealth } from './check-health.ts';
import { countObjects } from './count-objects.ts';

export const clusterJobs: readonly NatsIdentityJob[] = [
  checkHealth,
  countObjects,
  followTenants,
  deleteAccountSteps,
  sweepTombstones,
  closeTombstones,
];
