import { Problem } from '@gatehouse/kit';
import type { OperatorTable } from '@gatehouse/schema';
import { type Selectable, sql } from 'kysely';
import type { NatsidTransaction } from '../context.ts';

const NAMED_MAX = 50;

/**
 * Refuses to make an operator strict while identity keys have signed what must go on working: from then on servers
 * refuse accounts that the root key signed, and users that an account's identity key signed (pitfall 11).
 * @throws Problem `key_in_use` with `accounts` and `users`
 */
export async function refuseWhileIdentityKeysSign(
  tx: NatsidTransaction,
  operator: Selectable<OperatorTable>,
): Promise<void> {
  const accounts = await tx
    .selectFrom('account')
    .select(['id', 'name'])
    .where('operator_id', '=', operator.id)
    .where('issuer_key', '=', operator.public_key)
    .where('state', '<>', 'deleted')
    .orderBy('name')
    .limit(NAMED_MAX)
    .execute();
  // Superseded ones too: a JWT works until it expires or is revoked.
  const users = await tx
    .selectFrom('credential as c')
    .innerJoin('account as a', (join) =>
      join.onRef('a.id', '=', 'c.account_id').onRef('a.public_key', '=', 'c.issuer_key'),
    )
    .leftJoin('nats_user as u', 'u.id', 'c.user_id')
    .select(['c.user_id as id', 'u.name', 'a.name as account'])
    .distinct()
    .where('a.operator_id', '=', operator.id)
    .where('a.state', '<>', 'deleted')
    .where('c.revoked_at', 'is', null)
    .where((eb) => eb.or([eb('c.expires_at', 'is', null), eb('c.expires_at', '>', sql<Date>`now()`)]))
    .limit(NAMED_MAX)
    .execute();
  if (accounts.length === 0 && users.length === 0) return;
  throw new Problem('key_in_use', {
    detail:
      'Identity keys have signed accounts or users that strict signing key usage would shut out. Give the operator an active signing key and POST to /api/nats/operators/:id/resign; issue the users’ credentials anew.',
    members: { accounts, users },
  });
}
