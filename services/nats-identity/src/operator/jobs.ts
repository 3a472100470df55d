import type { NatsIdentityJob } from '../context.ts';
import { retireOperatorKeys } from './retire-keys.ts';

export const operatorJobs: readonly NatsIdentityJob[] = [retireOperatorKeys];
