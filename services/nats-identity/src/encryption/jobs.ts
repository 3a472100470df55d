import type { NatsIdentityJob } from '../context.ts';
import { countRecords, keepStates } from './keep-states.ts';
import { announceOwnKeys } from './prepare.ts';
import { reencryptRecords } from './run-reencryption.ts';

const announceKeys: NatsIdentityJob = {
  name: 'encryption-announce',
  everySeconds: 2,
  instances: 'each',
  run: announceOwnKeys,
};

export const encryptionJobs: readonly NatsIdentityJob[] = [
  announceKeys,
  keepStates,
  reencryptRecords,
  countRecords,
];
