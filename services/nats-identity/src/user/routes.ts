import type { NatsIdentityRoute } from '../context.ts';
import { changeUser } from './change-user.ts';
import { createUser } from './create-user.ts';
import { deleteUser } from './delete-user.ts';
import { issueCredentials } from './issue-credentials.ts';
import { listCredentials } from './list-credentials.ts';
import { listUsers } from './list-users.ts';
import { restoreUser } from './restore-user.ts';
import { revokeUser } from './revoke-user.ts';
import { showUser } from './show-user.ts';

export const userRoutes: readonly NatsIdentityRoute[] = [
  createUser,
  listUsers,
  showUser,
  changeUser,
  deleteUser,
  issueCredentials,
  revokeUser,
  restoreUser,
  listCredentials,
];
