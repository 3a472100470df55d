import { type Principal, Problem, tenantScope } from '@gatehouse/kit';
import type { AccountTable, NatsUserTable } from '@gatehouse/schema';
import type { Selectable } from 'kysely';
import type { NatsidTransaction } from '../context.ts';
import { lockAccount } from '../visible.ts';

/** A user and its account, both locked. */
export interface LockedUser {
  readonly account: Selectable<AccountTable>;
  readonly user: Selectable<NatsUserTable>;
}

/**
 * Locks an account whose users may still be shut out: also one that is locked, from which it may come back.
 * @throws Problem `not_found`, `account_not_active`
 */
export async function lockLivingAccount(
  tx: NatsidTransaction,
  principal: Principal,
  id: string,
): Promise<Selectable<AccountTable>> {
  const account = await lockAccount(tx, principal, id, { anyState: true });
  if (account.state !== 'active' && account.state !== 'locked') throw new Problem('account_not_active');
  return account;
}

/**
 * Locks a user for a change, its account first: that is the order of everybody, the issue of credentials too. `living`
 * lets changes through that only take rights away, of users of a locked account.
 * @throws Problem `not_found`, `account_not_active`
 */
export async function lockUser(
  tx: NatsidTransaction,
  principal: Principal,
  id: string,
  { living = false }: { readonly living?: boolean } = {},
): Promise<LockedUser> {
  const tenant = tenantScope(principal);
  const found = await tx
    .selectFrom('nats_user as u')
    .innerJoin('account as a', 'a.id', 'u.account_id')
    .select('u.account_id')
    .where('u.id', '=', id.toLowerCase())
    .$if(tenant !== undefined, (some) => some.where('a.tenant_id', '=', tenant ?? ''))
    .executeTakeFirst();
  if (found === undefined) throw new Problem('not_found');
  const account = living
    ? await lockLivingAccount(tx, principal, found.account_id)
    : await lockAccount(tx, principal, found.account_id);
  const user = await tx
    .selectFrom('nats_user')
    .selectAll()
    .where('id', '=', id.toLowerCase())
    .where('account_id', '=', account.id)
    .forUpdate()
    .executeTakeFirst();
  if (user === undefined) throw new Problem('not_found');
  return { account, user };
}
