import type { Principal, questions } from '@gatehouse/kit';
import type { AccountStatus, Role } from '@gatehouse/schema';
import Type from 'typebox';

/** Every role, the lowest first. */
export const roleNames = ['USER', 'ADMIN', 'PLATFORM_ADMIN'] as const satisfies readonly Role[];

export const RoleName = Type.Union([
  Type.Literal('USER'),
  Type.Literal('ADMIN'),
  Type.Literal('PLATFORM_ADMIN'),
]);

export const StatusName = Type.Union([
  Type.Literal('active'),
  Type.Literal('locked'),
  Type.Literal('disabled'),
]);

export const rankOf = (role: Role): number => roleNames.indexOf(role);

/** The held role and all below it, as tokens list them. */
export const rolesOf = (role: Role): Role[] => roleNames.slice(0, rankOf(role) + 1);

/** The highest role of a principal. */
export function highestRole(principal: Pick<Principal, 'roles'>): Role {
  return roleNames.toReversed().find((role) => principal.roles.includes(role)) ?? 'USER';
}

/** What of an account its sessions depend on. */
export interface AccountState {
  readonly id: string;
  readonly tenant_id: string;
  readonly role: Role;
  readonly status: AccountStatus;
  readonly version: number;
}

/** An account as token knows it. */
export function subjectOf(account: AccountState): questions.SubjectState {
  const { id, tenant_id, role, status, version } = account;
  return { user_id: id, tenant_id, status, roles: rolesOf(role), version };
}
