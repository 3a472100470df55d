import type { Principal } from './principal.ts';

/**
 * Everything that a role can allow, and what it means. A permission says *what* one may do; whose things it is about is
 * the tenant of the principal, or every tenant for who holds `tenants.all` (see {@link tenantScope}).
 */
export const permissions = {
  'tenants.all': 'Reach every tenant, not only the own.',
  'tenants.manage': 'Make, change, disable and delete tenants.',
  'users.read': 'Find users and see their state.',
  'users.unlock': 'Lift locks and lockouts.',
  'users.manage': 'Make, lock, disable and delete users.',
  'users.grant': 'Give users a role whose permissions one holds oneself.',
  'sessions.read': 'See the sessions of others.',
  'sessions.revoke': 'End the sessions of a user.',
  'sessions.revoke_all': 'End the sessions of a whole tenant.',
  'audit.read': 'Search the audit trail and the sign-ins.',
  'audit.export': 'Export the audit trail.',
  'audit.erase': 'Erase the personal fields of a person from the audit trail.',
  'nats.read': 'See NATS operators, accounts, roles and users.',
  'nats.manage': 'Change NATS accounts, roles and users, and issue credentials.',
  'platform.read': 'See signing keys, clusters, settings in force and dead letters.',
  'platform.manage':
    'Rotate keys, manage clusters and encryption, reset limits, replay and discard dead letters.',
} as const;

/** One thing that a role can allow. */
export type Permission = keyof typeof permissions;

const reading = ['users.read', 'sessions.read', 'audit.read', 'audit.export', 'nats.read'] as const;

/** Every built-in role, with what it may do beyond its own account. */
export const roles = {
  USER: [],
  SUPPORT: ['users.read', 'users.unlock', 'sessions.read', 'sessions.revoke', 'audit.read'],
  AUDITOR: reading,
  ADMIN: [
    ...reading,
    'users.unlock',
    'users.manage',
    'users.grant',
    'sessions.revoke',
    'sessions.revoke_all',
    'audit.erase',
    'nats.manage',
  ],
  PLATFORM_ADMIN: Object.keys(permissions) as Permission[],
} as const satisfies Record<string, readonly Permission[]>;

/** A built-in role. `USER` acts for itself alone; the others for their tenant; `PLATFORM_ADMIN` for the installation. */
export type Role = keyof typeof roles;

/** Every role, the order of `gatehouse` and of the documents. */
export const roleNames = Object.keys(roles) as readonly Role[];

const granted: ReadonlyMap<string, ReadonlySet<Permission>> = new Map(
  Object.entries(roles).map(([role, list]) => [role, new Set<Permission>(list)]),
);

/** Whether a role of the principal allows it. A role this version does not know grants nothing. */
export function may(principal: Pick<Principal, 'roles'>, permission: Permission): boolean {
  return principal.roles.some((role) => granted.get(role)?.has(permission) === true);
}

/** Whether whoever holds `own` may do everything that `other` may: nobody grants, or acts on, a role above the own. */
export function covers(own: Role, other: Role): boolean {
  return roles[other].every((permission) => granted.get(own)?.has(permission) === true);
}

/** The roles that allow it. */
export function rolesWith(permission: Permission): Role[] {
  return roleNames.filter((role) => granted.get(role)?.has(permission) === true);
}

/** The one tenant that a principal may know of, in lower case; undefined for all of them. */
export function tenantScope(principal: Pick<Principal, 'roles' | 'tenantId'>): string | undefined {
  return may(principal, 'tenants.all') ? undefined : principal.tenantId.toLowerCase();
}
