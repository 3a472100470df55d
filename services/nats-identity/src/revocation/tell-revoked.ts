import { append } from '@gatehouse/kit';
import type { AccountTable } from '@gatehouse/schema';
import type { Selectable } from 'kysely';
import { actedBy, type ChangeCall } from '../change.ts';
import type { NatsidTransaction } from '../context.ts';

/** Tells that somebody revoked what was issued to a key, or to everybody (`*`). */
export async function tellRevoked(
  tx: NatsidTransaction,
  about: {
    readonly account: Pick<Selectable<AccountTable>, 'id' | 'tenant_id' | 'public_key'>;
    readonly call: ChangeCall;
    readonly reason: string | undefined;
    readonly publicKey: string;
    readonly count: number;
  },
): Promise<void> {
  const { account, call } = about;
  await append(tx, {
    type: 'natsid.credentials.revoked',
    tenant_id: account.tenant_id,
    aggregate: `account:${account.id}`,
    traceparent: call.trace.traceparent,
    data: {
      ...actedBy(call, about.reason),
      account_id: account.id,
      account_key: account.public_key,
      public_key: about.publicKey,
      count: about.count,
    },
  });
}
