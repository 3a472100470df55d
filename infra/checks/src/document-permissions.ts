import { type Permission, permissions, type Role, roleNames, roles } from '@gatehouse/kit';
import { code, codes, page, table } from './markdown.ts';

const introduction = `
A role is a set of permissions; a route asks for a permission, never for a role. What a permission reaches is the
caller's own tenant, and every tenant for who also holds \`tenants.all\`. What another tenant owns answers 404, not 403.
A role that is changed acts on the next request, without a new token.

Nobody grants a role whose permissions they do not hold themselves, and nobody changes a user who may do more than
they. The last platform administrator cannot be demoted, locked, disabled or deleted, nor the last administrator of a
tenant by itself.

Every route with the permission that it asks for: [routes.md](routes.md).
`;

const meaning: Readonly<Record<Role, string>> = {
  USER: 'Themselves: their password and their sessions.',
  SUPPORT: 'The help desk of a tenant: finds people, lifts lockouts, ends sessions.',
  AUDITOR: 'Reads everything of a tenant and changes nothing.',
  ADMIN: 'Runs a tenant.',
  PLATFORM_ADMIN: 'Runs the installation and reaches every tenant.',
};

const granting = roleNames.filter((role) => roles[role].length > 0);

const holds = (role: Role, permission: Permission): boolean =>
  (roles[role] as readonly Permission[]).includes(permission);

/** docs/permissions.md. */
export function permissionsPage(): string {
  const rows = Object.entries(permissions).map(([name, allows]) => [
    code(name),
    allows,
    ...granting.map((role) => (holds(role, name as Permission) ? 'yes' : '')),
  ]);
  return page('Roles and permissions', introduction, [
    table(
      ['Role', 'For', 'Permissions'],
      roleNames.map((role) => [code(role), meaning[role], allOr(role)]),
    ),
    table(['Permission', 'Allows', ...granting.map(code)], rows),
  ]);
}

const allOr = (role: Role): string =>
  roles[role].length === Object.keys(permissions).length ? 'all of them' : codes(roles[role]) || 'none';
