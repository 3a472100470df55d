import { defineService } from '@gatehouse/kit';
import { cancelTenantDeletion } from './cancel-tenant-deletion.ts';
import { changePassword } from './change-password.ts';
import { changeTenant } from './change-tenant.ts';
import { type AuthBase, openParts } from './context.ts';
import { createTenant } from './create-tenant.ts';
import { createUser } from './create-user.ts';
import { deleteDueTenants } from './delete-due-tenants.ts';
import { deleteTenant } from './delete-tenant.ts';
import { deleteUser } from './delete-user.ts';
import { makeFirstAdministrator } from './first-administrator.ts';
import { listTenants } from './list-tenants.ts';
import { listUsers } from './list-users.ts';
import { purgeLockouts } from './lockout.ts';
import { login } from './login.ts';
import { me } from './me.ts';
import { protectedAdminPing, protectedPing } from './protected-ping.ts';
import { register } from './register.ts';
import { removeDeletedUsers } from './remove-deleted.ts';
import { resetAccountLimit } from './reset-account-limit.ts';
import { resetLockout } from './reset-lockout.ts';
import { revokeSessions } from './revoke-sessions.ts';
import { setRole } from './set-role.ts';
import { disableUser, enableUser, lockUser, unlockUser } from './set-status.ts';
import { authSettings, settingFaults } from './settings.ts';
import { showTenant } from './show-tenant.ts';
import { showUser } from './show-user.ts';
import { sweepUnsynced } from './sync.ts';
import { tenantStates } from './tenant-states.ts';

/** People: registration, sign-in, lockout, roles. */
export const auth = defineService({
  name: 'auth',
  settings: authSettings,
  check: settingFaults,
  routes: [
    register,
    login,
    me,
    changePassword,
    protectedPing,
    protectedAdminPing,
    listUsers,
    showUser,
    createUser,
    deleteUser,
    setRole,
    lockUser,
    unlockUser,
    disableUser,
    enableUser,
    resetLockout,
    revokeSessions,
    createTenant,
    changeTenant,
    deleteTenant,
    cancelTenantDeletion,
    listTenants,
    showTenant,
  ],
  answers: [tenantStates, resetAccountLimit],
  jobs: [
    { name: 'auth-sync', everySeconds: 1, instances: 'one', run: sweepUnsynced },
    { name: 'auth-lockout-purge', everySeconds: 300, instances: 'one', run: purgeLockouts },
    { name: 'auth-deleted-users', everySeconds: 2, instances: 'one', run: removeDeletedUsers },
    { name: 'auth-tenant-deletion', everySeconds: 2, instances: 'one', run: deleteDueTenants },
  ],
  open: (ctx: AuthBase) => openParts(ctx),
  health: async ({ passwords }) => [
    { name: 'hash', status: 'healthy', latency_ms: 0, details: passwords.state() },
  ],
  start: makeFirstAdministrator,
  close: (ctx) => ctx.closeParts(),
});
