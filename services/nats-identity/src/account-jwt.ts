import { Problem } from '@gatehouse/kit';
import { encodeJwt, jwtHash, type Nkey, nextIat } from '@gatehouse/nats-claims';
import type { AccountTable, JsonObject } from '@gatehouse/schema';
import { type Selectable, sql } from 'kysely';
import type { NatsIdentityContext, NatsidTransaction } from './context.ts';
import { readSeed } from './secret.ts';

/** What {@link reissueAccount} may be told. */
export interface Reissue {
  /** Servers hold a JWT of that time, which the new one must outdo. */
  readonly afterIat?: number;
  /** What {@link operatorSigner} gave in this transaction, so that many accounts ask for it once. */
  readonly signer?: Nkey;
}

/**
 * Makes the account's JWT anew from what the database holds now: claims, signing keys, roles, revocations, state. Call it
 * at the end of every change that touches any of these, in the change's transaction. The row's lock makes this the
 * account's one writer, and `iat` strictly rising (nats-protocol, fact 4); every cluster of the operator is told to
 * bring it to its servers.
 * @throws Problem `no_signing_key` when no private key here may sign it
 */
export async function reissueAccount(
  tx: NatsidTransaction,
  ctx: Pick<NatsIdentityContext, 'secrets' | 'metrics'>,
  accountId: string,
  { afterIat = 0, signer: given }: Reissue = {},
): Promise<{ readonly jwt: string; readonly nats: JsonObject; readonly account: Selectable<AccountTable> }> {
  const { now, ...account } = await tx
    .selectFrom('account')
    .selectAll()
    .select(sql<number>`floor(extract(epoch from clock_timestamp()))::bigint`.as('now'))
    .where('id', '=', accountId)
    .forUpdate()
    .executeTakeFirstOrThrow();
  const nats = await accountNats(tx, account, now);
  const signer = given ?? (await operatorSigner(tx, ctx, account.operator_id));
  const iat = nextIat(Math.max(account.jwt_iat, afterIat), now);
  // A lock-out never ends: one that has expired would not be applied (fact 2), and the deletion would wait for ever.
  const ends = account.state === 'active' ? account.expires_at : null;
  const exp = ends === null ? undefined : Math.floor(ends.getTime() / 1000);
  const jwt = encodeJwt(
    { sub: account.public_key, name: account.name, iat, ...(exp && { exp }) },
    nats,
    signer,
  );
  if (jwt.length > ACCOUNT_JWT_BYTES_MAX)
    throw new Problem('account_jwt_too_large', {
      detail: `The account’s JWT would have ${jwt.length} bytes; ${ACCOUNT_JWT_BYTES_MAX} is the most.`,
    });
  const changed = await tx
    .updateTable('account')
    .set({
      jwt,
      jwt_iat: iat,
      jwt_sha256: jwtHash(jwt),
      issuer_key: signer.publicKey,
      updated_at: sql<Date>`now()`,
    })
    .where('id', '=', accountId)
    .returningAll()
    .executeTakeFirstOrThrow();
  await wantOnClusters(tx, changed);
  return { jwt, nats, account: changed };
}

/** The `nats` section that an account's JWT has, or would have, with what the database holds now. */
export async function accountNats(
  tx: NatsidTransaction,
  account: Selectable<AccountTable>,
  now: number,
): Promise<JsonObject> {
  const keys = await tx
    .selectFrom('account_key')
    .select(['public_key', 'scope'])
    .where('account_id', '=', account.id)
    .orderBy('created_at')
    .orderBy('id')
    .execute();
  const revocations = await tx
    .selectFrom('revocation')
    .select(['public_key', 'before'])
    .where('account_id', '=', account.id)
    .orderBy('public_key')
    .execute();
  const signingKeys = keys.map(({ public_key, scope }) =>
    scope === null ? public_key : { kind: 'user_scope', key: public_key, ...scope },
  );
  const nats: Record<string, unknown> = {
    ...account.claims,
    ...(signingKeys.length > 0 && { signing_keys: signingKeys }),
    ...(revocations.length > 0 && {
      revocations: Object.fromEntries(revocations.map(({ public_key, before }) => [public_key, before])),
    }),
    type: 'account',
    version: 2,
  };
  return account.state === 'active' ? nats : lockedOut(nats, now);
}

/** Nobody connects, and who is connected goes: both were tried on servers; an `exp` in the past is not applied (fact 2). */
function lockedOut(nats: Record<string, unknown>, now: number): JsonObject {
  const limits = nats.limits as Record<string, unknown> | undefined;
  return { ...nats, limits: { ...limits, conn: 0, leaf: 0 }, revocations: { '*': now } };
}

/**
 * What an account's JWT may have. A push must fit nats-server's max_payload (1 MiB unless set higher), and the server's
 * answers name the account beside it.
 */
export const ACCOUNT_JWT_BYTES_MAX = 1_000_000;
/** From here on servers take seconds to check an account, and their answers about it may not fit a message. */
export const ACCOUNT_JWT_BYTES_WARN = 190_000;

/** What an administrator should know of an account whose JWT has so many bytes. */
export function sizeWarnings(bytes: number): string[] {
  if (bytes <= ACCOUNT_JWT_BYTES_WARN) return [];
  return [
    `The JWT has ${bytes} bytes: beyond ${ACCOUNT_JWT_BYTES_WARN} servers take seconds to check it, and may not be able to answer what they enforce. ${ACCOUNT_JWT_BYTES_MAX} is the most.`,
  ];
}

/**
 * The key that signs accounts of an operator: its newest active signing key whose seed is here, or the root key when
 * the operator is not strict. A pending key never: some server does not trust it yet (nats-protocol, fact 6).
 * @throws Problem `no_signing_key`
 */
export async function operatorSigner(
  tx: NatsidTransaction,
  ctx: Pick<NatsIdentityContext, 'secrets' | 'metrics'>,
  operatorId: string,
): Promise<Nkey> {
  // All of them are held until the commit: a key that is being retired waits for whoever signs with it, and counts then.
  // Not `limit 1`: a row that changed while it was waited for would leave none.
  const keys = await tx
    .selectFrom('operator_key')
    .select(['secret_id'])
    .where('operator_id', '=', operatorId)
    .where('state', '=', 'active')
    .where('secret_id', 'is not', null)
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .forShare()
    .execute();
  const found = keys[0]?.secret_id;
  if (found) return readSeed(tx, ctx, found);
  const operator = await tx
    .selectFrom('operator')
    .select(['secret_id', 'claims'])
    .where('id', '=', operatorId)
    .forShare()
    .executeTakeFirstOrThrow();
  if (operator.secret_id === null || operator.claims.strict_signing_key_usage === true)
    throw new Problem('no_signing_key');
  return readSeed(tx, ctx, operator.secret_id);
}

/** Tells every cluster of the account's operator that something new is wanted. */
export async function wantOnClusters(
  tx: NatsidTransaction,
  account: Pick<Selectable<AccountTable>, 'id' | 'operator_id'>,
): Promise<void> {
  await sql`
    insert into account_sync as s (cluster_id, account_id)
    select c.id, ${account.id} from cluster c where c.operator_id = ${account.operator_id}
    on conflict (cluster_id, account_id)
      do update set wanted = s.wanted + 1, attempts = 0, next_at = now(), state = 'pending'`.execute(tx);
}

/** How many clusters a change of an operator's account reaches. */
export async function clusterCount(tx: NatsidTransaction, operatorId: string): Promise<number> {
  const { count } = await tx
    .selectFrom('cluster')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('operator_id', '=', operatorId)
    .executeTakeFirstOrThrow();
  return Number(count);
}
