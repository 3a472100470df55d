import { defineService } from '@gatehouse/kit';
import { changePassword } from './change-password.ts';
import { changeTenant } from './change-tenant.ts';
import { type AuthBase, openParts } from './context.ts';
import { createTenant } from './create-tenant.ts';
import { makeFirstAdministrator } from './first-administrator.ts';
import { listTenants } from './list-tenants.ts';
import { listUsers } from './list-users.ts';
import { purgeLockouts } from './lockout.ts';
import { login } from './login.ts';
import { me } from './me.ts';
import { protectedAdminPing, protectedPing } from './protected-ping.ts';
import { register } from './register.ts';
import { revokeSessions } from './revoke-sessions.ts';
import { setRole } from './set-role.ts';
import { disableUser, enableUser, lockUser, unlockUser } from './set-status.ts';
import { authSettings, settingFaults } from './settings.ts';
import { showUser } from './show-user.ts';
import { sweepUnsynced } from './sync.ts';

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
    setRole,
    lockUser,
    unlockUser,
    disableUser,
    enableUser,
    revokeSessions,
    createTenant,
    changeTenant,
    listTenants,
  ],
  jobs: [
    { name: 'auth-sync', everySeconds: 1, instances: 'one', run: sweepUnsynced },
    { name: 'auth-lockout-purge', everySeconds: 300, instances: 'one', run: purgeLockouts },
  ],
  open: (ctx: AuthBase) => openParts(ctx),
  health: async ({ passwords }) => [
    { name: 'hash', status: 'healthy', latency_ms: 0, details: passwords.state() },
  ],
  start: makeFirstAdministrator,
  close: (ctx) => ctx.closeParts(),
});
