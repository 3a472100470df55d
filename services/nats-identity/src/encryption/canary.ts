import type { NatsIdentityContext } from '../context.ts';
import { keepSecret, openSecret } from '../secret.ts';
import { lockEncryption, lostKeys } from './encryption-key.ts';

const PUBLIC_KEY = 'canary';
const SONG = 'gatehouse canary';

/**
 * Seals a record of no meaning, whose opening proves that the ring fits the database. Keeps the one that is there,
 * unless its key is given up for lost.
 */
export async function keepCanary(ctx: NatsIdentityContext): Promise<void> {
  await ctx.db.transaction().execute(async (tx) => {
    await lockEncryption(tx);
    const lost = lostKeys(ctx);
    if (lost.length > 0)
      await tx.deleteFrom('secret').where('kind', '=', 'canary').where('key_id', 'in', lost).execute();
    const known = await tx.selectFrom('secret').select('id').where('kind', '=', 'canary').executeTakeFirst();
    if (known === undefined)
      await keepSecret(tx, ctx, { kind: 'canary', publicKey: PUBLIC_KEY, plaintext: SONG });
  });
}

/** Whether the canary opens and is what was sealed. */
export async function canarySings(ctx: NatsIdentityContext): Promise<boolean> {
  const row = await ctx.db
    .selectFrom('secret')
    .select(['id', 'kind', 'public_key', 'sealed'])
    .where('kind', '=', 'canary')
    .executeTakeFirst();
  if (row === undefined) return false;
  try {
    return openSecret(ctx, row).toString() === SONG;
  } catch {
    return false;
  }
}
