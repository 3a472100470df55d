import type { NatsIdentityRoute } from '../context.ts';
import { destroyKey } from './destroy-key.ts';
import { promoteKey } from './promote-key.ts';
import { reencrypt } from './reencrypt.ts';
import { showEncryption } from './show-encryption.ts';

export const encryptionRoutes: readonly NatsIdentityRoute[] = [
  showEncryption,
  promoteKey,
  reencrypt,
  destroyKey,
];
