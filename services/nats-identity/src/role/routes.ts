import type { NatsIdentityRoute } from '../context.ts';
import { changeRole } from './change-role.ts';
import { createRole } from './create-role.ts';
import { deleteRole } from './delete-role.ts';
import { listRoles } from './list-roles.ts';
import { showRole } from './show-role.ts';

export const roleRoutes: readonly NatsIdentityRoute[] = [
  createRole,
  listRoles,
  showRole,
  changeRole,
  deleteRole,
];
