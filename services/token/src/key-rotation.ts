import type { SigningAlgorithm } from '@gatehouse/schema';
import { sql } from 'kysely';
import type { TokenContext, TokenTransaction } from './context.ts';
import {
  createKey,
  type KeyCause,
  knownAfter,
  liveKeys,
  lockKeys,
  type ManagedKey,
  promoteNext,
  retireKey,
  tell,
} from './managed-keys.ts';

/** What became of the wish to rotate. `signs`: whether the key signs already. */
export type Rotation =
  | { readonly outcome: 'pending' }
  | {
      readonly outcome: 'rotating';
      readonly kid: string;
      readonly algorithm: string;
      readonly activatesAt: Date;
      readonly signs: boolean;
    };

/**
 * Asks for a rotation, by hand or by schedule: at once when every verifier already knows the next key, otherwise as
 * soon as that is so. Another algorithm than the next key's means another key, which nobody knows yet.
 */
export async function requestRotation(
  tx: TokenTransaction,
  ctx: TokenContext,
  algorithm: SigningAlgorithm,
  cause: KeyCause,
): Promise<Rotation> {
  await lockKeys(tx);
  const next = (await liveKeys(tx, ctx)).find(({ state }) => state === 'next');
  if (next?.activates_at != null) return { outcome: 'pending' };
  const chosen =
    next?.algorithm === algorithm ? next : await replaceNext(tx, ctx, { next, algorithm }, cause);
  await tell(tx, 'token.key.rotation_requested', chosen, cause);
  const about = { outcome: 'rotating', kid: chosen.kid, algorithm } as const;
  if (chosen.known) {
    await promoteNext(tx, ctx, cause);
    return { ...about, activatesAt: new Date(), signs: true };
  }
  await tx
    .updateTable('signing_key')
    .set({ activates_at: chosen.known_at })
    .where('kid', '=', chosen.kid)
    .execute();
  return { ...about, activatesAt: chosen.known_at, signs: false };
}

async function replaceNext(
  tx: TokenTransaction,
  ctx: TokenContext,
  { next, algorithm }: { next: ManagedKey | undefined; algorithm: SigningAlgorithm },
  cause: KeyCause,
): Promise<ManagedKey> {
  if (next !== undefined) {
    await retireKey(tx, next.kid);
    await tell(tx, 'token.key.retired', next, cause);
  }
  const kid = await createKey(tx, ctx, { state: 'next', algorithm }, cause);
  const { rows } = await sql<{ at: Date }>`select ${knownAfter(ctx, 'now()')} as at`.execute(tx);
  const knownAt = rows[0]?.at ?? new Date();
  return { kid, algorithm, state: 'next', activates_at: null, known_at: knownAt, known: false };
}
