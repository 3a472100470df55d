import { may, type Principal, Problem } from '@gatehouse/kit';
import type { OperatorTable } from '@gatehouse/schema';
import type { Selectable } from 'kysely';
import type { NatsIdentityContext, NatsidTransaction } from '../context.ts';

/** Whether somebody sees all operators, or only those that are open to tenants. */
export const seesAllOperators = (principal: Principal): boolean => may(principal, 'tenants.all');

/** Reads an operator. One that is not open is not there for an ADMIN. @throws Problem `not_found` */
export async function readOperator(
  ctx: NatsIdentityContext,
  principal: Principal,
  id: string,
): Promise<Selectable<OperatorTable>> {
  const operator = await ctx.db
    .selectFrom('operator')
    .selectAll()
    .where('id', '=', id.toLowerCase())
    .$if(!seesAllOperators(principal), (some) => some.where('open_to_tenants', '=', true))
    .executeTakeFirst();
  if (operator === undefined) throw new Problem('not_found');
  return operator;
}

/**
 * Locks an operator for a change of a platform administrator. Accounts are made beside it: what points to the row does
 * not wait for this lock.
 * @throws Problem `not_found`
 */
export async function lockOperator(tx: NatsidTransaction, id: string): Promise<Selectable<OperatorTable>> {
  const operator = await tx
    .selectFrom('operator')
    .selectAll()
    .where('id', '=', id.toLowerCase())
    .forNoKeyUpdate()
    .executeTakeFirst();
  if (operator === undefined) throw new Problem('not_found');
  return operator;
}
