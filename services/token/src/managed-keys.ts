import { append } from '@gatehouse/kit';
import type { SigningAlgorithm, SigningKeyState } from '@gatehouse/schema';
import { type RawBuilder, sql } from 'kysely';
import type { TokenContext, TokenTransaction } from './context.ts';
import { PROPAGATION_SECONDS, sealedFor } from './key-ring.ts';
import { newKeyPair, publicJwkOf, thumbprintOf } from './signing-key.ts';

/** Who changes keys and why; null acts for the platform itself. */
export interface KeyCause {
  readonly reason: string;
  readonly actorId: string | null;
  readonly traceparent: string | null;
}

/** A key that begins its life. */
export interface NewKey {
  readonly state: Extract<SigningKeyState, 'next' | 'current'>;
  readonly algorithm: SigningAlgorithm;
  /** When it is to sign; undefined: not until a rotation is asked for. */
  readonly activatesAt?: RawBuilder<Date>;
}

/** One row as the changes of this service look at it. */
export interface ManagedKey {
  readonly kid: string;
  readonly algorithm: SigningAlgorithm;
  readonly state: SigningKeyState;
  readonly activates_at: Date | null;
  /** From when on every verifier knows it. */
  readonly known_at: Date;
  readonly known: boolean;
}

/** One change of keys at a time, of any instance: waits for the others. Released with the transaction. */
export async function lockKeys(tx: TokenTransaction): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended('gatehouse.token.signing-keys', 0))`.execute(tx);
}

/** When every verifier knows a key that is published now: each instance shows it, and no older JWKS is cached. */
export const knownAfter = (ctx: TokenContext, since: string): RawBuilder<Date> =>
  sql<Date>`${sql.raw(since)} + ${ctx.config.JWKS_MAX_AGE_SECONDS + PROPAGATION_SECONDS}::int4 * interval '1 second'`;

/** The keys that are not retired. Call with the lock held. */
export async function liveKeys(tx: TokenTransaction, ctx: TokenContext): Promise<ManagedKey[]> {
  const knownAt = knownAfter(ctx, 'coalesce(published_at, created_at)');
  return await tx
    .selectFrom('signing_key')
    .select(['kid', 'algorithm', 'state', 'activates_at', knownAt.as('known_at')])
    .select(sql<boolean>`${knownAt} <= now()`.as('known'))
    .where('state', '<>', 'retired')
    .execute();
}

/** Makes a key and publishes it. */
export async function createKey(
  tx: TokenTransaction,
  ctx: TokenContext,
  { state, algorithm, activatesAt }: NewKey,
  cause: KeyCause,
): Promise<string> {
  const pair = await newKeyPair(algorithm);
  const kid = thumbprintOf(pair);
  const now = sql<Date>`now()`;
  await tx
    .insertInto('signing_key')
    .values({
      kid,
      algorithm,
      state,
      public_jwk: { ...publicJwkOf(pair, kid) },
      private_sealed: ctx.secrets.keyring.seal(pair.export({ type: 'pkcs8', format: 'der' }), sealedFor(kid)),
      published_at: now,
      activates_at: state === 'current' ? now : (activatesAt ?? null),
      activated_at: state === 'current' ? now : null,
    })
    .execute();
  await tell(tx, 'token.key.created', { kid, algorithm }, cause);
  if (state === 'current') await tell(tx, 'token.key.activated', { kid, algorithm }, cause);
  return kid;
}

/** The next key begins to sign; the one that signed stays published while its tokens live, and a new next is made. */
export async function promoteNext(tx: TokenTransaction, ctx: TokenContext, cause: KeyCause): Promise<void> {
  await demoteCurrent(tx, ctx);
  const next = await tx
    .updateTable('signing_key')
    .set({
      state: 'current',
      activated_at: sql<Date>`now()`,
      activates_at: sql<Date>`coalesce(activates_at, now())`,
    })
    .where('state', '=', 'next')
    .returning(['kid', 'algorithm'])
    .executeTakeFirst();
  if (next === undefined) {
    await createKey(tx, ctx, { state: 'current', algorithm: ctx.config.JWT_ALGORITHM }, cause);
  } else {
    await tell(tx, 'token.key.activated', next, cause);
  }
  await createKey(tx, ctx, { state: 'next', algorithm: ctx.config.JWT_ALGORITHM }, cause);
}

/** The current key stops signing. Its last token dies one lifetime later; a second one is the margin of the contract. */
async function demoteCurrent(tx: TokenTransaction, ctx: TokenContext): Promise<void> {
  await tx
    .updateTable('signing_key')
    .set({
      state: 'previous',
      retires_at: sql<Date>`now() + ${2 * ctx.config.ACCESS_TOKEN_TTL_SECONDS}::int4 * interval '1 second'`,
    })
    .where('state', '=', 'current')
    .execute();
}

/** Takes a key out of the JWKS for good; its private half is forgotten. */
export async function retireKey(tx: TokenTransaction, kid: string): Promise<void> {
  const now = sql<Date>`now()`;
  await tx
    .updateTable('signing_key')
    .set({
      state: 'retired',
      retired_at: now,
      retires_at: sql<Date>`coalesce(retires_at, now())`,
      private_sealed: null,
    })
    .where('kid', '=', kid)
    .where('state', '<>', 'retired')
    .execute();
}

/** Makes what is missing: the first key of an installation signs at once, because nobody has cached a set without it. */
export async function ensureKeys(tx: TokenTransaction, ctx: TokenContext): Promise<void> {
  const cause = { reason: 'first start', actorId: null, traceparent: null };
  const states = new Set((await liveKeys(tx, ctx)).map(({ state }) => state));
  const algorithm = ctx.config.JWT_ALGORITHM;
  if (!states.has('current')) {
    if (states.has('next')) return await promoteNext(tx, ctx, cause);
    await createKey(tx, ctx, { state: 'current', algorithm }, cause);
  }
  if (!states.has('next')) await createKey(tx, ctx, { state: 'next', algorithm }, cause);
}

/** Writes one event of a key's life. */
export async function tell(
  tx: TokenTransaction,
  type: `token.key.${'created' | 'activated' | 'rotation_requested' | 'retired' | 'revoked'}`,
  { kid, algorithm }: { readonly kid: string; readonly algorithm: string },
  { reason, actorId, traceparent }: KeyCause,
): Promise<void> {
  await append(tx, {
    type,
    tenant_id: null,
    aggregate: `signing_key:${kid}`,
    traceparent,
    data: { kid, algorithm, actor_id: actorId, reason },
  });
}
