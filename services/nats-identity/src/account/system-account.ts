import type { OperatorTable } from '@gatehouse/schema';
import type { Selectable } from 'kysely';
import type { NatsidTransaction } from '../context.ts';

/** Public key of an operator's system account, whether it is held here or only named by an imported JWT. */
export async function systemAccountKey(
  tx: NatsidTransaction,
  operator: Pick<Selectable<OperatorTable>, 'claims' | 'system_account_id'>,
): Promise<string | undefined> {
  const named = operator.claims.system_account;
  if (operator.system_account_id === null) return typeof named === 'string' ? named : undefined;
  const account = await tx
    .selectFrom('account')
    .select('public_key')
    .where('id', '=', operator.system_account_id)
    .executeTakeFirst();
  return account?.public_key;
}
