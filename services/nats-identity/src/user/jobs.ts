import type { NatsIdentityJob } from '../context.ts';
import { dropRevocations } from './drop-revocations.ts';
import { purgeLedger } from './purge-ledger.ts';

export const userJobs: readonly NatsIdentityJob[] = [dropRevocations, purgeLedger];
