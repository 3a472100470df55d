import { append, newId, Problem } from '@gatehouse/kit';
import { jwtHash } from '@gatehouse/nats-claims';
import type { AccountTable, JsonObject, OperatorTable } from '@gatehouse/schema';
import { type Selectable, sql } from 'kysely';
import { reissueAccount, wantOnClusters } from '../account-jwt.ts';
import type { Acting } from '../change.ts';
import type { NatsIdentityContext, NatsidTransaction } from '../context.ts';
import { keepSeed, makeKey } from '../secret.ts';
import { checkedAccountClaims } from './account-claims.ts';
import { type AccountImport, readAccountImport } from './account-import.ts';
import { addPlainKey, keepImportedKeys } from './signing-key.ts';

type Account = Selectable<AccountTable>;

/** What an account is made of. */
export interface NewAccount {
  readonly operatorId: string;
  /** null: the platform's. */
  readonly tenantId: string | null;
  readonly name: string;
  /** `system` becomes the operator's system account; `platform` is never deleted. Default `account`. */
  readonly kind?: Account['kind'];
  /** Limits that it lacks are filled in. Of an imported one the JWT says them. */
  readonly claims?: JsonObject;
  readonly expiresAt?: Date | null;
  readonly import?: AccountImport;
  readonly acting: Acting;
}

/**
 * Makes an account with an identity key and a plain signing key, signed by the operator; or takes one that exists
 * elsewhere, with its JWT unchanged, so that nothing happens on servers until somebody changes it.
 * @throws Problem `invalid_claims`, `invalid_import`, `no_signing_key`, `account_jwt_too_large`
 */
export async function createAccountIn(
  tx: NatsidTransaction,
  ctx: NatsIdentityContext,
  wanted: NewAccount,
): Promise<Account> {
  const operator = await tx
    .selectFrom('operator')
    .selectAll()
    .where('id', '=', wanted.operatorId)
    .executeTakeFirst();
  if (operator === undefined) throw new Problem('not_found');
  const account = wanted.import
    ? await takeAccount(tx, ctx, { operator, wanted, from: wanted.import })
    : await makeAccount(tx, ctx, wanted);
  if (account.kind === 'system') await becomeSystemAccount(tx, operator, account);
  const { id, name, public_key } = account;
  await append(tx, {
    type: 'natsid.account.created',
    tenant_id: account.tenant_id,
    aggregate: `account:${id}`,
    traceparent: wanted.acting.traceparent,
    data: { ...wanted.acting.by, id, name, public_key, operator_id: operator.id },
  });
  return account;
}

async function makeAccount(
  tx: NatsidTransaction,
  ctx: NatsIdentityContext,
  wanted: NewAccount,
): Promise<Account> {
  const kind = wanted.kind ?? 'account';
  const { key, secretId } = await makeKey(tx, ctx, 'account', 'account');
  const claims = checkedAccountClaims({
    before: {},
    after: wanted.claims ?? {},
    publicKey: key.publicKey,
    systemAccount: kind === 'system',
    fresh: true,
  });
  const id = newId();
  await insertAccount(tx, wanted, {
    id,
    public_key: key.publicKey,
    secret_id: secretId,
    kind,
    claims,
    expires_at: wanted.expiresAt ?? null,
    // The first JWT follows in this transaction, under the row's lock.
    jwt: '',
    jwt_iat: 0,
    jwt_sha256: jwtHash(''),
    issuer_key: '',
  });
  // From the start, so that issuing credentials changes nothing that servers must learn first.
  await addPlainKey(tx, ctx, id);
  return (await reissueAccount(tx, ctx, id)).account;
}

async function takeAccount(
  tx: NatsidTransaction,
  ctx: NatsIdentityContext,
  {
    operator,
    wanted,
    from,
  }: { operator: Selectable<OperatorTable>; wanted: NewAccount; from: AccountImport },
): Promise<Account> {
  const trusted = await tx
    .selectFrom('operator_key')
    .select('public_key')
    .where('operator_id', '=', operator.id)
    .execute();
  const keys = new Set([operator.public_key, ...trusted.map(({ public_key }) => public_key)]);
  const { decoded, parts, identity, signing } = readAccountImport(from, keys);
  const isSystem = operator.system_account_id === null && operator.claims.system_account === decoded.sub;
  const account = await insertAccount(tx, wanted, {
    id: newId(),
    public_key: decoded.sub,
    secret_id: identity === undefined ? null : await keepSeed(tx, ctx, 'account', identity),
    kind: isSystem ? 'system' : (wanted.kind ?? 'account'),
    claims: parts.claims,
    expires_at: decoded.exp === undefined ? null : new Date(decoded.exp * 1000),
    jwt: from.jwt.trim(),
    jwt_iat: decoded.iat,
    jwt_sha256: jwtHash(from.jwt.trim()),
    issuer_key: decoded.iss,
    imported: true,
  });
  await keepImportedKeys(
    tx,
    ctx,
    account.id,
    parts.keys.map(({ publicKey, scope }) => ({ publicKey, scope, key: signing.get(publicKey) })),
  );
  const revoked = Object.entries(parts.revocations);
  if (revoked.length > 0)
    await tx
      .insertInto('revocation')
      .values(
        revoked.map(([public_key, before]) => ({
          account_id: account.id,
          public_key,
          before,
          until: null,
          reason: 'imported',
        })),
      )
      .execute();
  await wantOnClusters(tx, account);
  return account;
}

type AccountRow = Pick<
  Account,
  | 'id'
  | 'public_key'
  | 'secret_id'
  | 'kind'
  | 'claims'
  | 'expires_at'
  | 'jwt'
  | 'jwt_iat'
  | 'jwt_sha256'
  | 'issuer_key'
> & { readonly imported?: boolean };

const insertAccount = (tx: NatsidTransaction, wanted: NewAccount, row: AccountRow) =>
  tx
    .insertInto('account')
    .values({
      ...row,
      operator_id: wanted.operatorId,
      tenant_id: wanted.tenantId,
      name: wanted.name.normalize('NFC'),
    })
    .returningAll()
    .executeTakeFirstOrThrow();

async function becomeSystemAccount(
  tx: NatsidTransaction,
  operator: Selectable<OperatorTable>,
  account: Account,
): Promise<void> {
  if (operator.system_account_id !== null)
    throw new Problem('conflict', { detail: 'The operator has a system account already.' });
  await tx
    .updateTable('operator')
    .set({
      system_account_id: account.id,
      // From now on the row says it.
      claims: sql<JsonObject>`claims - 'system_account'`,
    })
    .where('id', '=', operator.id)
    .execute();
}
