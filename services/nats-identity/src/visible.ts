import { type Principal, Problem, tenantScope } from '@gatehouse/kit';
import type { AccountTable } from '@gatehouse/schema';
import type { Selectable } from 'kysely';
import type { NatsIdentityContext, NatsidTransaction } from './context.ts';

/**
 * Locks an account for a change. What belongs to another tenant, or to the platform, is not there for an ADMIN.
 * @throws Problem `not_found`; `account_not_active` while it is being deleted, unless `anyState`
 */
export async function lockAccount(
  tx: NatsidTransaction,
  principal: Principal,
  id: string,
  { anyState = false }: { readonly anyState?: boolean } = {},
): Promise<Selectable<AccountTable>> {
  const tenant = tenantScope(principal);
  const account = await tx
    .selectFrom('account')
    .selectAll()
    .where('id', '=', id.toLowerCase())
    .where('state', '<>', 'deleted')
    .$if(tenant !== undefined, (some) => some.where('tenant_id', '=', tenant ?? ''))
    .forUpdate()
    .executeTakeFirst();
  if (account === undefined) throw new Problem('not_found');
  if (!anyState && account.state !== 'active') throw new Problem('account_not_active');
  return account;
}

/** Reads an account without locking it. @throws Problem `not_found` */
export async function readAccount(
  ctx: NatsIdentityContext,
  principal: Principal,
  id: string,
): Promise<Selectable<AccountTable>> {
  const tenant = tenantScope(principal);
  const account = await ctx.db
    .selectFrom('account')
    .selectAll()
    .where('id', '=', id.toLowerCase())
    .$if(tenant !== undefined, (some) => some.where('tenant_id', '=', tenant ?? ''))
    .executeTakeFirst();
  if (account === undefined) throw new Problem('not_found');
  return account;
}

/** What somebody is told who wants a user of the system account of the platform's own bus. */
export const keptToService =
  'The system account of the platform’s own bus is for the service alone: its credentials never leave it.';

/** Refuses users in the system account of the platform's own bus. @throws Problem `forbidden` */
export async function refuseServiceAccount(
  tx: NatsidTransaction,
  account: Pick<Selectable<AccountTable>, 'kind' | 'operator_id'>,
): Promise<void> {
  if (account.kind !== 'system') return;
  const { own } = await tx
    .selectFrom('operator')
    .select('own')
    .where('id', '=', account.operator_id)
    .executeTakeFirstOrThrow();
  if (own) throw new Problem('forbidden', { detail: keptToService });
}
