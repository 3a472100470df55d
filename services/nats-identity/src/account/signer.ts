import { Problem } from '@gatehouse/kit';
import type { Nkey } from '@gatehouse/nats-claims';
import { reissueAccount } from '../account-jwt.ts';
import type { NatsIdentityContext, NatsidTransaction } from '../context.ts';
import { openSeed, readSeed } from '../secret.ts';
import { addPlainKey } from './signing-key.ts';

/** What signs plain users and activation tokens of an account. */
export interface AccountSigner {
  readonly key: Nkey;
  /** The account's public key, which a JWT signed by a signing key must name; undefined when the identity key signs. */
  readonly issuerAccount: string | undefined;
}

/**
 * The key that signs an account's plain users: its newest plain signing key whose seed is here; else the identity key,
 * unless the operator is strict; else a signing key made now, which servers learn with the account's new JWT.
 * @throws Problem `no_signing_key`
 */
export async function accountSigner(
  tx: NatsidTransaction,
  ctx: NatsIdentityContext,
  accountId: string,
): Promise<AccountSigner> {
  const found = await newestPlain(tx, ctx, accountId);
  if (found !== undefined) return found;
  const account = await tx
    .selectFrom('account as a')
    .innerJoin('operator as o', 'o.id', 'a.operator_id')
    .select(['a.secret_id', 'a.public_key', 'a.state', 'o.claims'])
    .where('a.id', '=', accountId)
    .forUpdate('a')
    .executeTakeFirst();
  if (account === undefined) throw new Problem('not_found');
  if (account.secret_id !== null && account.claims.strict_signing_key_usage !== true)
    return { key: await readSeed(tx, ctx, account.secret_id), issuerAccount: undefined };
  if (account.state !== 'active') throw new Problem('account_not_active');
  // Somebody may have made one while this waited for the lock.
  const made = await newestPlain(tx, ctx, accountId);
  if (made !== undefined) return made;
  const key = await addPlainKey(tx, ctx, accountId);
  await reissueAccount(tx, ctx, accountId);
  return { key, issuerAccount: account.public_key };
}

async function newestPlain(
  tx: NatsidTransaction,
  ctx: NatsIdentityContext,
  accountId: string,
): Promise<AccountSigner | undefined> {
  const found = await tx
    .selectFrom('account_key as k')
    .innerJoin('secret as s', 's.id', 'k.secret_id')
    .innerJoin('account as a', 'a.id', 'k.account_id')
    .select(['s.id', 's.kind', 's.public_key', 's.sealed', 'a.public_key as account_key'])
    .where('k.account_id', '=', accountId)
    .where('k.scope', 'is', null)
    .orderBy('k.created_at', 'desc')
    .orderBy('k.id', 'desc')
    .limit(1)
    .executeTakeFirst();
  return found && { key: openSeed(ctx, found), issuerAccount: found.account_key };
}
