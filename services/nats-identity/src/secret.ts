import { isLegacySealed, newId, sealedKeyId } from '@gatehouse/kit';
import { createNkey, type Nkey, type NkeyKind, nkeyFromSeed } from '@gatehouse/nats-claims';
import type { SecretKind } from '@gatehouse/schema';
import type { NatsIdentityContext, NatsidTransaction } from './context.ts';

type Owner = Pick<NatsIdentityContext, 'secrets' | 'metrics'>;

/**
 * Seals a key's seed into a row of its own; returns the row's id. The sealed text is bound to kind, row and public key:
 * in any other row it does not open.
 */
export async function keepSeed(
  tx: NatsidTransaction,
  ctx: Owner,
  kind: SecretKind,
  key: Nkey,
): Promise<string> {
  const seed = key.seed();
  try {
    return await keepSecret(tx, ctx, { kind, publicKey: key.publicKey, plaintext: seed });
  } finally {
    seed.fill(0);
  }
}

/** Seals anything secret (creds of a cluster) into a row of its own; returns the row's id. */
export async function keepSecret(
  tx: NatsidTransaction,
  ctx: Owner,
  secret: { readonly kind: SecretKind; readonly publicKey: string; readonly plaintext: string | Uint8Array },
): Promise<string> {
  const id = newId();
  const { kind, publicKey, plaintext } = secret;
  const sealed = ctx.secrets.keyring.seal(plaintext, sealedFor(kind, id, publicKey));
  ctx.metrics.encryptionOperations.inc({ operation: 'encrypt', result: 'ok' });
  await tx
    .insertInto('secret')
    .values({ id, kind, public_key: publicKey, sealed, key_id: sealedKeyId(sealed) })
    .execute();
  return id;
}

/** What a sealed record of this service is bound to. */
export const sealedFor = (kind: SecretKind, id: string, publicKey: string) => ({
  kind: `natsid.${kind}`,
  recordId: id,
  publicId: publicKey,
});

/** A sealed row as {@link openSeed} needs it. */
export interface SealedRow {
  readonly id: string;
  readonly kind: SecretKind;
  readonly public_key: string;
  readonly sealed: string;
}

/**
 * Opens what a row seals. The caller overwrites it (`fill(0)`) when done.
 * @throws MissingEncryptionKeyError, SealedTextError
 */
export function openSecret(ctx: Owner, row: SealedRow): Buffer {
  try {
    const plaintext = ctx.secrets.keyring.open(row.sealed, sealedFor(row.kind, row.id, row.public_key));
    ctx.metrics.encryptionOperations.inc({ operation: 'decrypt', result: 'ok' });
    return plaintext;
  } catch (error) {
    ctx.metrics.encryptionOperations.inc({ operation: 'decrypt', result: 'failed' });
    throw error;
  }
}

/**
 * Opens a seed, and checks that it is the key that the row names: a second guard against swapped records, and the only
 * one of what still lies as NIS sealed it.
 * @throws MissingEncryptionKeyError, SealedTextError, Error when the seed is another key's
 */
export function openSeed(ctx: Owner, row: SealedRow): Nkey {
  const seed = isLegacySealed(row.sealed) ? ctx.secrets.keyring.openLegacy(row.sealed) : openSecret(ctx, row);
  try {
    const key = nkeyFromSeed(seed);
    if (key.publicKey !== row.public_key) throw new Error(`secret ${row.id} holds the seed of another key`);
    return key;
  } finally {
    seed.fill(0);
  }
}

/** Reads and opens the seed of a secret row. @throws when it is not there or does not open */
export async function readSeed(tx: NatsidTransaction, ctx: Owner, secretId: string): Promise<Nkey> {
  const row = await tx
    .selectFrom('secret')
    .select(['id', 'kind', 'public_key', 'sealed'])
    .where('id', '=', secretId)
    .executeTakeFirstOrThrow();
  return openSeed(ctx, row);
}

/** A new key pair, its seed kept. */
export async function makeKey(
  tx: NatsidTransaction,
  ctx: Owner,
  kind: SecretKind,
  nkeyKind: NkeyKind,
): Promise<{ readonly key: Nkey; readonly secretId: string }> {
  const key = createNkey(nkeyKind);
  return { key, secretId: await keepSeed(tx, ctx, kind, key) };
}
