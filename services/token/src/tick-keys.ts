import { sql } from 'kysely';
import type { TokenContext, TokenJob, TokenTransaction } from './context.ts';
import { RELOAD_SECONDS } from './key-ring.ts';
import { requestRotation } from './key-rotation.ts';
import { ensureKeys, lockKeys, promoteNext, retireKey, tell } from './managed-keys.ts';

const bySchedule = { reason: 'schedule', actorId: null, traceparent: null };

/** Moves the managed keys on when their time has come. */
export const tickKeys: TokenJob = {
  name: 'signing-keys',
  everySeconds: 5,
  instances: 'one',
  run: async (ctx) => {
    const changed = await ctx.db.transaction().execute(async (tx) => {
      await lockKeys(tx);
      const retired = await retireDue(tx);
      // Managed keys that the environment's has replaced rest as they are: published, so that their tokens live and
      // the way back is open, until somebody revokes them.
      if (ctx.ring.source === 'environment') return retired;
      const promoted = await promoteDue(tx, ctx);
      await ensureKeys(tx, ctx);
      return (await rotateBySchedule(tx, ctx)) || promoted || retired;
    });
    if (!changed) return;
    ctx.relay.poke();
    await ctx.ring.reload();
  },
};

/** Every instance reads the keys again and again: what one changes, all publish before anybody signs with it. */
export const reloadKeys: TokenJob = {
  name: 'signing-keys-reload',
  everySeconds: RELOAD_SECONDS,
  instances: 'each',
  run: (ctx) => ctx.ring.reload(),
};

async function retireDue(tx: TokenTransaction): Promise<boolean> {
  const due = await tx
    .selectFrom('signing_key')
    .select(['kid', 'algorithm'])
    .where('state', '=', 'previous')
    .where('retires_at', '<=', sql<Date>`now()`)
    .execute();
  for (const key of due) {
    await retireKey(tx, key.kid);
    await tell(tx, 'token.key.retired', key, bySchedule);
  }
  return due.length > 0;
}

async function promoteDue(tx: TokenTransaction, ctx: TokenContext): Promise<boolean> {
  const due = await tx
    .selectFrom('signing_key')
    .select('kid')
    .where('state', '=', 'next')
    .where('activates_at', '<=', sql<Date>`now()`)
    .executeTakeFirst();
  if (due === undefined) return false;
  await promoteNext(tx, ctx, bySchedule);
  return true;
}

async function rotateBySchedule(tx: TokenTransaction, ctx: TokenContext): Promise<boolean> {
  const due = await tx
    .selectFrom('signing_key as current')
    .select('current.kid')
    .where('current.state', '=', 'current')
    .where(
      'current.activated_at',
      '<=',
      sql<Date>`now() - ${ctx.config.KEY_ROTATION_DAYS}::int4 * interval '1 day'`,
    )
    .executeTakeFirst();
  if (due === undefined) return false;
  const rotation = await requestRotation(tx, ctx, ctx.config.JWT_ALGORITHM, bySchedule);
  return rotation.outcome === 'rotating';
}
