import { newId } from '@gatehouse/kit';
import type { Nkey } from '@gatehouse/nats-claims';
import type { JsonObject } from '@gatehouse/schema';
import { sql } from 'kysely';
import type { NatsIdentityContext, NatsidTransaction } from '../context.ts';
import { keepSeed, makeKey } from '../secret.ts';

/** Gives an account a plain signing key. Its JWT is made anew by whoever calls. */
export async function addPlainKey(
  tx: NatsidTransaction,
  ctx: NatsIdentityContext,
  accountId: string,
): Promise<Nkey> {
  const { key, secretId } = await makeKey(tx, ctx, 'account_signing', 'account');
  await tx
    .insertInto('account_key')
    .values({
      id: newId(),
      account_id: accountId,
      public_key: key.publicKey,
      secret_id: secretId,
      role_name: null,
      scope: null,
    })
    .execute();
  return key;
}

/** A signing key as an imported JWT names it. */
export interface ImportedKey {
  readonly publicKey: string;
  readonly scope: JsonObject | null;
  readonly key: Nkey | undefined;
}

/** Keeps the signing keys of an imported account in the order of its JWT, roles under names that are free. */
export async function keepImportedKeys(
  tx: NatsidTransaction,
  ctx: NatsIdentityContext,
  accountId: string,
  keys: readonly ImportedKey[],
): Promise<void> {
  const taken = new Set<string>();
  for (const [index, { publicKey, scope, key }] of keys.entries()) {
    const at = sql<Date>`now() + ${index} * interval '1 microsecond'`;
    await tx
      .insertInto('account_key')
      .values({
        id: newId(),
        account_id: accountId,
        public_key: publicKey,
        secret_id: key === undefined ? null : await keepSeed(tx, ctx, 'account_signing', key),
        role_name: scope === null ? null : freeName(scope, publicKey, taken),
        scope,
        created_at: at,
        updated_at: at,
      })
      .execute();
  }
}

// nsc takes roles without a name, and two of one name; here the name is how a role is found. The JWT keeps its own.
function freeName(scope: JsonObject, publicKey: string, taken: Set<string>): string {
  const given = typeof scope.role === 'string' ? printable(scope.role) : '';
  const name = given !== '' && !taken.has(given.toLowerCase()) ? given : publicKey;
  taken.add(name.toLowerCase());
  return name;
}

/** A name from outside in the form that names have here. */
export const printable = (name: string): string =>
  name
    .normalize('NFC')
    .replace(/[\p{C}\p{Zl}\p{Zp}]/gu, '?')
    .trim()
    .slice(0, 128)
    .toWellFormed();
