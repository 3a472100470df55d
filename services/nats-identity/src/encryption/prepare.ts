import { ConfigError, changedKeys } from '@gatehouse/kit';
import type { NatsIdentityContext, NatsidTransaction } from '../context.ts';
import { forgetInstance, ownAnnouncement, receive, register } from './announce-keys.ts';
import { keepCanary } from './canary.ts';
import { knownKeys, lostKeys, ownRecords } from './encryption-key.ts';
import { followWish } from './promote-key.ts';

/**
 * Before anything is sealed or opened: this process' keys are compared with what the platform knows of them, and the
 * key that seals is settled. In one process that holds for the other services too, which start after it.
 * @throws ConfigError when a key's value changed, when records need a key that is not here, or when the key that seals
 * is not here: such a process could only do harm
 */
export async function prepareEncryption(ctx: NatsIdentityContext): Promise<void> {
  const { keyring } = ctx.secrets;
  const primary = await ctx.db.transaction().execute(async (tx) => {
    const { refused } = await register(tx, ownAnnouncement(ctx));
    // Thrown inside: a process that does not start must not count among those that hold keys.
    if (refused.length > 0) throw new ConfigError(changedKeys(refused));
    const faults = await missingKeys(tx, ctx);
    if (faults.length > 0) throw new ConfigError(faults);
    await followWish(tx, lostKeys(ctx));
    const now = (await knownKeys(tx)).find(({ state }) => state === 'primary')?.id;
    if (now !== undefined && !keyring.holds(now)) throw new ConfigError([lacksPrimary(now)]);
    return now;
  });
  if (primary !== undefined) keyring.usePrimary(primary);
  await keepCanary(ctx);
}

const lacksPrimary = (id: string): string =>
  `ENCRYPTION_KEYS lacks ${id}, under which the platform seals: add it, or let another key seal first`;

/** A line for each key that records need and that is not here. */
async function missingKeys(tx: NatsidTransaction, ctx: NatsIdentityContext): Promise<string[]> {
  const lost = lostKeys(ctx);
  return Object.entries(await ownRecords(tx))
    .filter(([id]) => !ctx.secrets.keyring.holds(id) && !lost.includes(id))
    .map(
      ([id, records]) =>
        `ENCRYPTION_KEYS lacks ${id}, which ${records} stored ${records === 1 ? 'record needs' : 'records need'}: put it back (lost for good: name it in ENCRYPTION_LOST_KEYS, and they stay unreadable)`,
    );
}

/** Says that this process lives, and follows the platform in which key seals. */
export async function announceOwnKeys(ctx: NatsIdentityContext): Promise<void> {
  const { keyring } = ctx.secrets;
  const { primary, refused } = await receive(ctx, ownAnnouncement(ctx));
  if (primary === null) return;
  if (keyring.holds(primary) && !refused.includes(primary)) keyring.usePrimary(primary);
  else ctx.log.error({ primary, refused }, 'this process does not hold the encryption key that seals');
}

/** This process ends in order; where the database is gone it stops counting by itself, half a minute later. */
export async function leaveEncryption(ctx: NatsIdentityContext): Promise<void> {
  await forgetInstance(ctx, ctx.secrets.processId).catch((err: unknown) =>
    ctx.log.warn({ err }, 'could not say that this process ends'),
  );
}
