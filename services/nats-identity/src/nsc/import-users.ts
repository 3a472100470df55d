import { newId, sealedKeyId } from '@gatehouse/kit';
import { explicitUserClaims, jwtHash, type NscUser } from '@gatehouse/nats-claims';
import type { AccountTable, JsonObject } from '@gatehouse/schema';
import type { Selectable } from 'kysely';
import type { NatsIdentityContext, NatsidTransaction } from '../context.ts';
import { sealedFor } from '../secret.ts';
import { FreeNames } from './plan-import.ts';

/** Few: sealing their seeds must not hold up others for long. */
const ROWS_MAX = 200;

/** The users of an account as they are imported. */
export interface UsersToImport {
  readonly account: Selectable<AccountTable>;
  readonly users: readonly NscUser[];
  readonly seeds: ReadonlyMap<string, Buffer>;
  /** What the account's JWT revokes. */
  readonly revocations: Readonly<Record<string, number>>;
}

/**
 * Takes an account's users with their seeds, where the store has them, and enters what they hold into the ledger. Of the
 * JWT only its hash is kept: of a bearer it is the credential.
 */
export async function importUsers(
  tx: NatsidTransaction,
  ctx: NatsIdentityContext,
  { account, users, seeds, revocations }: UsersToImport,
): Promise<void> {
  const roles = await rolesOf(tx, account.id);
  const free = new FreeNames();
  for (let from = 0; from < users.length; from += ROWS_MAX) {
    const some = users.slice(from, from + ROWS_MAX);
    const secretIds = await keepSeeds(tx, ctx, some, seeds);
    const rows = some.map((user) => ({
      id: newId(),
      account_id: account.id,
      name: free.of(user.name, user.publicKey),
      public_key: user.publicKey,
      secret_id: secretIds.get(user.publicKey) ?? null,
      role_id: roles.get(user.issuer) ?? null,
      claims: claimsOf(user, roles.has(user.issuer)),
      ttl_seconds: ttlOf(user),
      state: revokedBy(user, revocations, user.publicKey) ? ('revoked' as const) : ('active' as const),
    }));
    await tx.insertInto('nats_user').values(rows).execute();
    await tx
      .insertInto('credential')
      .values(some.map((user, at) => ledgerRow(user, rows[at]?.id ?? '', account.id, revocations)))
      .execute();
  }
}

/** Ids of roles by their public keys. */
async function rolesOf(tx: NatsidTransaction, accountId: string): Promise<Map<string, string>> {
  const keys = await tx
    .selectFrom('account_key')
    .select(['id', 'public_key'])
    .where('account_id', '=', accountId)
    .where('scope', 'is not', null)
    .execute();
  return new Map(keys.map(({ id, public_key }) => [public_key, id]));
}

async function keepSeeds(
  tx: NatsidTransaction,
  ctx: NatsIdentityContext,
  users: readonly NscUser[],
  seeds: ReadonlyMap<string, Buffer>,
): Promise<Map<string, string>> {
  const rows = users.flatMap(({ publicKey }) => {
    const seed = seeds.get(publicKey);
    if (seed === undefined) return [];
    const id = newId();
    const sealed = ctx.secrets.keyring.seal(seed, sealedFor('user', id, publicKey));
    ctx.metrics.encryptionOperations.inc({ operation: 'encrypt', result: 'ok' });
    return [{ id, kind: 'user' as const, public_key: publicKey, sealed, key_id: sealedKeyId(sealed) }];
  });
  if (rows.length > 0) await tx.insertInto('secret').values(rows).execute();
  return new Map(rows.map(({ public_key, id }) => [public_key, id]));
}

function claimsOf({ decoded }: NscUser, scoped: boolean): JsonObject {
  const { type: _, version: __, issuer_account: ___, ...claims } = decoded.nats;
  // What servers read where a limit is missing: the next edit must not fill in what nobody gave.
  return scoped ? claims : explicitUserClaims(claims);
}

const TTL_SECONDS_MAX = 2 ** 31 - 1;

/** What is issued to it from now on lives as long as what it holds; one that holds something endless takes the default. */
function ttlOf({ decoded: { iat, exp } }: NscUser): number | null {
  const ttl = exp === undefined ? 0 : exp - iat;
  return ttl > 0 && ttl <= TTL_SECONDS_MAX ? ttl : null;
}

const revokedBy = (
  { decoded }: NscUser,
  revocations: UsersToImport['revocations'],
  ...keys: readonly string[]
): boolean => keys.some((key) => (revocations[key] ?? 0) >= decoded.iat);

function ledgerRow(
  user: NscUser,
  userId: string,
  accountId: string,
  revocations: UsersToImport['revocations'],
) {
  const { decoded, publicKey, issuer, jwt } = user;
  return {
    id: newId(),
    user_id: userId,
    account_id: accountId,
    public_key: publicKey,
    issuer_key: issuer,
    jti: decoded.jti,
    jwt_sha256: jwtHash(jwt),
    iat: decoded.iat,
    issued_at: timeOf(decoded.iat),
    expires_at: decoded.exp === undefined ? null : timeOf(decoded.exp),
    revoked_at: revokedBy(user, revocations, publicKey, '*') ? new Date() : null,
    issued_by: null,
  };
}

/** The last second that both a JavaScript date and a four-digit year can say. */
const SECONDS_MAX = 253_402_300_799;

const timeOf = (seconds: number): Date => new Date(Math.min(Math.max(seconds, 0), SECONDS_MAX) * 1000);
