import { covers, type Principal, type Role, roleNames } from '@gatehouse/kit';

/** Somebody whose sessions are to end. */
interface Target {
  readonly user_id: string;
  readonly roles: readonly string[];
}

const isRole = (name: string): name is Role => (roleNames as readonly string[]).includes(name);

/**
 * Whether a principal may act on somebody: on whom they are, and on nobody who may do more than they. Of a role that
 * this release does not know nobody can say how much it may.
 */
export function reaches({ userId, roles }: Pick<Principal, 'userId' | 'roles'>, target: Target): boolean {
  const own = roles.filter(isRole);
  return (
    userId === target.user_id ||
    target.roles.every((theirs) => isRole(theirs) && own.some((mine) => covers(mine, theirs)))
  );
}
