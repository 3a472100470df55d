import { MissingEncryptionKeyError, questions, SealedTextError, sealedKeyId } from '@gatehouse/kit';
import { answer, type TokenContext } from './context.ts';
import { sealedFor } from './key-ring.ts';

interface SealedKey {
  readonly kid: string;
  readonly private_sealed: string;
}

/** The private halves that are kept, by kid: retired keys have none. */
async function sealedKeys(ctx: TokenContext, after: string): Promise<SealedKey[]> {
  const rows = await ctx.db
    .selectFrom('signing_key')
    .select(['kid', 'private_sealed'])
    .where('private_sealed', 'is not', null)
    .where('kid', '>', after)
    .orderBy('kid')
    .execute();
  return rows.flatMap(({ kid, private_sealed }) =>
    private_sealed === null ? [] : [{ kid, private_sealed }],
  );
}

/** How many signing keys need each key of the encryption ring. */
export const sealedRecords = answer(questions.sealedRecords('token'), (ctx) => async () => {
  const keys: Record<string, number> = {};
  for (const { private_sealed } of await sealedKeys(ctx, '')) {
    const id = sealedKeyId(private_sealed);
    keys[id] = (keys[id] ?? 0) + 1;
  }
  return { keys };
});

/** Puts the next signing keys under another key of the ring; each is opened once, to know that it still opens. */
export const rewrapSealed = answer(questions.rewrapSealed('token'), (ctx) => async ({ to, after, limit }) => {
  const { keyring } = ctx.secrets;
  keyring.assertHolds([to]);
  const rows = (await sealedKeys(ctx, after ?? '')).slice(0, limit);
  let rewrapped = 0;
  for (const { kid, private_sealed } of rows) {
    const moved = moveTo(ctx, { kid, private_sealed }, to);
    if (moved === undefined) return { rewrapped, next: null, failed: kid };
    if (moved === private_sealed) continue;
    // Compare and swap: a key that was retired meanwhile keeps no private half.
    const { numUpdatedRows } = await ctx.db
      .updateTable('signing_key')
      .set({ private_sealed: moved })
      .where('kid', '=', kid)
      .where('private_sealed', '=', private_sealed)
      .executeTakeFirst();
    rewrapped += Number(numUpdatedRows);
  }
  return { rewrapped, next: rows.length < limit ? null : (rows.at(-1)?.kid ?? null), failed: null };
});

function moveTo(ctx: TokenContext, { kid, private_sealed }: SealedKey, to: string): string | undefined {
  const { keyring } = ctx.secrets;
  try {
    const moved =
      sealedKeyId(private_sealed) === to
        ? private_sealed
        : keyring.rewrap(private_sealed, sealedFor(kid), to);
    keyring.open(moved, sealedFor(kid)).fill(0);
    return moved;
  } catch (error) {
    if (error instanceof SealedTextError || error instanceof MissingEncryptionKeyError) return undefined;
    throw error;
  }
}
