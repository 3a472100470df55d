import type { NatsIdentityRoute } from '../context.ts';
import { addRevocation } from './add-revocation.ts';
import { deleteRevocation } from './delete-revocation.ts';
import { listRevocations } from './list-revocations.ts';

export const revocationRoutes: readonly NatsIdentityRoute[] = [
  listRevocations,
  addRevocation,
  deleteRevocation,
];
