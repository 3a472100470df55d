import { sealedKeyId } from '@gatehouse/kit';
import type { NatsIdentityContext } from '../context.ts';
import { openSeed, type SealedRow, sealedFor } from '../secret.ts';

const BATCH = 100;
/** Rows that do not open are told once in the life of a process. */
const told = new Set<string>();

/**
 * Seals anew what lies in the format of NIS, where nothing binds a text to its row. Only seeds: that they belong to
 * their row shows in their public key.
 */
export async function sealLegacyAnew(ctx: NatsIdentityContext): Promise<void> {
  let after: string | undefined;
  do after = await sealBatch(ctx, after);
  while (after !== undefined);
}

async function sealBatch(ctx: NatsIdentityContext, after: string | undefined): Promise<string | undefined> {
  return await ctx.db.transaction().execute(async (tx) => {
    const rows = await tx
      .selectFrom('secret')
      .select(['id', 'kind', 'public_key', 'sealed'])
      .where('sealed', 'like', 'encrypted:%')
      .where('kind', 'not in', ['creds', 'canary'])
      .$if(after !== undefined, (some) => some.where('id', '>', after ?? ''))
      .orderBy('id')
      .limit(BATCH)
      .forNoKeyUpdate()
      .skipLocked()
      .execute();
    for (const row of rows) {
      const sealed = tryToSealAnew(ctx, row);
      if (sealed === undefined) continue;
      await tx
        .updateTable('secret')
        .set({ sealed, key_id: sealedKeyId(sealed) })
        .where('id', '=', row.id)
        .where('sealed', '=', row.sealed)
        .execute();
    }
    return rows.length < BATCH ? undefined : rows.at(-1)?.id;
  });
}

/** A seed that NIS sealed, sealed as ours are. @throws when it does not open, or is not the seed of its row */
export function sealAnew(ctx: NatsIdentityContext, row: SealedRow): string {
  const seed = openSeed(ctx, row).seed();
  try {
    return ctx.secrets.keyring.seal(seed, sealedFor(row.kind, row.id, row.public_key));
  } finally {
    seed.fill(0);
  }
}

function tryToSealAnew(ctx: NatsIdentityContext, row: SealedRow): string | undefined {
  try {
    return sealAnew(ctx, row);
  } catch (err) {
    if (!told.has(row.id)) ctx.log.error({ err, record: row.id }, 'a record from NIS does not open');
    told.add(row.id);
    return undefined;
  }
}
