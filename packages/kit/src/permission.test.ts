import { expect, test } from 'vitest';
import {
  covers,
  may,
  type Permission,
  permissions,
  roleNames,
  roles,
  rolesWith,
  tenantScope,
} from './permission.ts';

const every = Object.keys(permissions) as Permission[];

test('a role allows its own permissions and no other', () => {
  for (const role of roleNames) {
    const own: readonly Permission[] = roles[role];
    for (const permission of every) expect(may({ roles: [role] }, permission)).toBe(own.includes(permission));
  }
});

test('no role, an unknown role and a role in other letters allow nothing', () => {
  for (const names of [[], ['OWNER'], ['admin'], [''], ['__proto__'], ['constructor']])
    for (const permission of every) expect(may({ roles: names }, permission)).toBe(false);
});

test('one role among others is enough', () => {
  expect(may({ roles: ['OWNER', 'USER', 'ADMIN'] }, 'users.manage')).toBe(true);
});

test('a role covers itself and USER, PLATFORM_ADMIN covers all, and no two cover each other', () => {
  for (const own of roleNames) {
    expect(covers(own, own)).toBe(true);
    expect(covers(own, 'USER')).toBe(true);
    expect(covers('PLATFORM_ADMIN', own)).toBe(true);
    for (const other of roleNames)
      if (own !== other && covers(own, other)) expect(covers(other, own)).toBe(false);
  }
});

test('an auditor reads only, and support changes neither users nor roles', () => {
  expect(roles.AUDITOR.every((one) => /\.(read|export)$/.test(one))).toBe(true);
  for (const permission of ['users.manage', 'users.grant', 'sessions.revoke_all', 'nats.manage'] as const)
    expect(may({ roles: ['SUPPORT'] }, permission)).toBe(false);
});

test('only a platform administrator reaches beyond the own tenant', () => {
  expect(rolesWith('tenants.all')).toEqual(['PLATFORM_ADMIN']);
  expect(tenantScope({ roles: ['USER', 'ADMIN'], tenantId: 'AB' })).toBe('ab');
  expect(tenantScope({ roles: ['PLATFORM_ADMIN'], tenantId: 'ab' })).toBeUndefined();
});
