import type { questions } from '@gatehouse/kit';
import type { AccountStatus, Role } from '@gatehouse/schema';
import Type from 'typebox';

export const RoleName = Type.Union([
  Type.Literal('USER'),
  Type.Literal('SUPPORT'),
  Type.Literal('AUDITOR'),
  Type.Literal('ADMIN'),
  Type.Literal('PLATFORM_ADMIN'),
]);

/** As answers show it: who is deleted is shown nowhere. */
export const StatusName = Type.Union([
  Type.Literal('active'),
  Type.Literal('locked'),
  Type.Literal('disabled'),
]);

/** The held role and those that it includes, as tokens list them: whoever looks for ADMIN finds it in PLATFORM_ADMIN. */
const listed: Readonly<Record<Role, Role[]>> = {
  USER: ['USER'],
  SUPPORT: ['USER', 'SUPPORT'],
  AUDITOR: ['USER', 'AUDITOR'],
  ADMIN: ['USER', 'ADMIN'],
  PLATFORM_ADMIN: ['USER', 'ADMIN', 'PLATFORM_ADMIN'],
};
export const rolesOf = (role: Role): Role[] => [...listed[role]];

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
  // Token knows no deletion: for a session a user who is gone is one who may not.
  const known = status === 'deleted' ? 'disabled' : status;
  return { user_id: id, tenant_id, status: known, roles: rolesOf(role), version };
}
