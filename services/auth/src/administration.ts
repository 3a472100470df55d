import { covers, may, type Permission, type Principal, type ProblemCode } from '@gatehouse/kit';
import type { AccountStatus, Role } from '@gatehouse/schema';
import { sql } from 'kysely';
import { type AccountState, rolesOf } from './account.ts';
import type { AuthTransaction } from './context.ts';

/** An account as the change of it needs to know it. */
export interface Party extends AccountState {
  readonly email: string;
  readonly status: AccountStatus;
}

/** Who changes whom. */
export interface Parties {
  readonly outcome: 'allowed';
  readonly actor: Party;
  readonly target: Party;
}

/** Why not. `not_found` also stands for accounts of other tenants: one may not know of them. */
export interface Refused {
  readonly outcome: 'refused';
  readonly code: Extract<
    ProblemCode,
    | 'not_found'
    | 'forbidden'
    | 'reason_required'
    | 'role_too_high'
    | 'last_administrator'
    | 'conflict'
    | 'tenant_id_taken'
    | 'unknown_tenant'
    | 'email_taken'
  >;
}

export const refused = (code: Refused['code']): Refused => ({ outcome: 'refused', code });

/**
 * From here on changes of roles, statuses and tenants wait for each other, all over the platform: that is what makes
 * "is there another administrator?" still true when the change is committed. There are few of them and they are short.
 */
export async function takeTurn(tx: AuthTransaction): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended('gatehouse.auth.administration', 0))`.execute(tx);
}

/**
 * Locks the rows of both and judges by what they are now, not by what the token says. Nobody changes somebody who may
 * do more than they; nobody but a platform administrator changes anybody outside the own tenant.
 */
export async function lockParties(
  tx: AuthTransaction,
  principal: Principal,
  {
    id: targetId,
    reason,
    needs,
  }: { readonly id: string; readonly reason: string; readonly needs: Permission },
): Promise<Parties | Refused> {
  await takeTurn(tx);
  const rows: Party[] = await tx
    .selectFrom('user_account')
    .select(['id', 'tenant_id', 'email', 'role', 'status', 'version'])
    .where('id', 'in', [principal.userId, targetId])
    .orderBy('id')
    .forUpdate()
    .execute();
  const actor = rows.find(({ id }) => id === principal.userId);
  const target = rows.find(({ id }) => id === targetId);
  if (actor?.status !== 'active' || !may({ roles: rolesOf(actor.role) }, needs)) return refused('forbidden');
  if (target === undefined || target.status === 'deleted') return refused('not_found');
  const everywhere = may({ roles: rolesOf(actor.role) }, 'tenants.all');
  if (!everywhere && actor.tenant_id !== target.tenant_id) return refused('not_found');
  if (!covers(actor.role, target.role)) return refused('role_too_high');
  if (reason === '') return refused('reason_required');
  return { outcome: 'allowed', actor, target };
}

/**
 * Whether the platform or the tenant would be left without anybody to administer it. The last platform administrator
 * is protected from everybody, the last administrator of a tenant from itself (a platform administrator may).
 * Call it after {@link takeTurn}, for a change that takes the target's role away or stops the account.
 */
export async function isLastAdministrator(tx: AuthTransaction, { actor, target }: Parties): Promise<boolean> {
  if (target.status !== 'active') return false;
  if (target.role === 'PLATFORM_ADMIN') return !(await hasPlatformAdministrator(tx, { besides: target.id }));
  if (target.role !== 'ADMIN' || actor.id !== target.id) return false;
  return !(await hasOtherAdministrator(tx, target));
}

/** Whether somebody could still administer the platform without that user, or without that tenant. */
export async function hasPlatformAdministrator(
  tx: AuthTransaction,
  without: { readonly besides: string } | { readonly outside: string },
): Promise<boolean> {
  const found = await tx
    .selectFrom('user_account as u')
    .innerJoin('tenant as t', 't.id', 'u.tenant_id')
    .select('u.id')
    .where('u.role', '=', 'PLATFORM_ADMIN')
    .where('u.status', '=', 'active')
    .where('t.status', '=', 'active')
    .$if('besides' in without, (query) =>
      query.where('u.id', '<>', 'besides' in without ? without.besides : ''),
    )
    .$if('outside' in without, (query) =>
      query.where('u.tenant_id', '<>', 'outside' in without ? without.outside : ''),
    )
    .limit(1)
    .executeTakeFirst();
  return found !== undefined;
}

async function hasOtherAdministrator(tx: AuthTransaction, target: Party): Promise<boolean> {
  const found = await tx
    .selectFrom('user_account')
    .select('id')
    .where('tenant_id', '=', target.tenant_id)
    .where('role', 'in', ['ADMIN', 'PLATFORM_ADMIN'] satisfies Role[])
    .where('status', '=', 'active')
    .where('id', '<>', target.id)
    .limit(1)
    .executeTakeFirst();
  return found !== undefined;
}
