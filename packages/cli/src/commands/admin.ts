import type { Command } from 'commander';
import { addAdminSessions } from './admin-sessions.ts';
import { addAdminTenant } from './admin-tenant.ts';
import { addAdminUser } from './admin-user.ts';
import { addBreakGlass } from './break-glass.ts';

/** `gatehouse admin …`: users, tenants and sessions, as an administrator. */
export function addAdmin(program: Command): void {
  const admin = program.command('admin').description('users, tenants and sessions, as an administrator');
  addAdminUser(admin);
  addAdminTenant(admin);
  addAdminSessions(admin);
  addBreakGlass(admin);
}
