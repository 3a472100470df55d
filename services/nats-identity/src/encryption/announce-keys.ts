import { timingSafeEqual } from 'node:crypto';
import { append, questions } from '@gatehouse/kit';
import { sql } from 'kysely';
import { answer, type NatsIdentityContext, type NatsidTransaction } from '../context.ts';
import { byItself, type EncryptionKey, knownKeys, lockEncryption } from './encryption-key.ts';

/** What a process says of itself. */
export interface Announcement {
  readonly instanceId: string;
  readonly service: string;
  readonly wanted: string;
  readonly keys: readonly { readonly id: string; readonly check: Buffer }[];
}

/** What it hears. */
export interface Reception {
  /** The key that seals; null until the first one does. */
  readonly primary: string | null;
  /** Keys whose value is not the one that is known under their name. */
  readonly refused: string[];
}

/** A process in another place says which keys it holds, every few seconds, and hears which one seals. */
export const announceKeys = answer(questions.announceKeys, (ctx) => async (body) => {
  if (body.leaving) {
    await forgetInstance(ctx, body.instance_id);
    return { primary: null, refused: [] };
  }
  const keys = body.keys.map(({ id, check }) => ({ id, check: Buffer.from(check, 'base64url') }));
  return await receive(ctx, {
    instanceId: body.instance_id,
    service: body.service,
    wanted: body.wanted,
    keys,
  });
});

/** This process' own announcement. */
export function ownAnnouncement(ctx: NatsIdentityContext): Announcement {
  const { keyring, processId } = ctx.secrets;
  return {
    instanceId: processId,
    service: ctx.name,
    wanted: keyring.wantedKeyId,
    keys: keyring.keyIds.map((id) => ({ id, check: keyring.checkValue(id) })),
  };
}

/** Takes an announcement: as a rule one update, and the lock only for a process or a key that is new. */
export async function receive(ctx: NatsIdentityContext, announced: Announcement): Promise<Reception> {
  const known = await knownKeys(ctx.db);
  const { unknown, ...reception } = compare(known, announced);
  if (unknown.length === 0 && (await touchInstance(ctx.db, announced, reception.refused))) return reception;
  const registered = await ctx.db.transaction().execute((tx) => register(tx, announced));
  if (unknown.length > 0) ctx.relay.poke();
  return registered;
}

/** Writes down a process and the keys that it is the first to hold. */
export async function register(tx: NatsidTransaction, announced: Announcement): Promise<Reception> {
  await lockEncryption(tx);
  const { unknown, ...reception } = compare(await knownKeys(tx), announced);
  for (const { id, check } of unknown) {
    await tx.insertInto('encryption_key').values({ id, check_value: check, state: 'staged' }).execute();
    const { by, traceparent } = byItself('in ENCRYPTION_KEYS for the first time');
    await append(tx, {
      type: 'natsid.encryption.staged',
      tenant_id: null,
      aggregate: `encryption_key:${id}`,
      traceparent,
      data: { ...by, key_id: id },
    });
  }
  const instance = {
    instance_id: announced.instanceId,
    service: announced.service,
    key_ids: heldKeys(announced, reception.refused),
    wanted_key_id: announced.wanted,
  };
  await tx
    .insertInto('encryption_instance')
    .values(instance)
    .onConflict((conflict) =>
      conflict.column('instance_id').doUpdateSet({ ...instance, seen_at: sql<Date>`now()` }),
    )
    .execute();
  return reception;
}

const heldKeys = ({ keys }: Announcement, refused: readonly string[]): string[] =>
  keys.map(({ id }) => id).filter((id) => !refused.includes(id));

function compare(known: readonly EncryptionKey[], { keys }: Announcement) {
  const byId = new Map(known.map((key) => [key.id, key]));
  const refused = keys.filter(({ id, check }) => {
    const stored = byId.get(id)?.check_value;
    return stored !== undefined && !(stored.length === check.length && timingSafeEqual(stored, check));
  });
  return {
    primary: known.find(({ state }) => state === 'primary')?.id ?? null,
    refused: refused.map(({ id }) => id),
    unknown: keys.filter(({ id }) => !byId.has(id)),
  };
}

async function touchInstance(
  db: NatsIdentityContext['db'],
  announced: Announcement,
  refused: readonly string[],
): Promise<boolean> {
  const touched = await db
    .updateTable('encryption_instance')
    .set({ seen_at: sql<Date>`now()`, key_ids: heldKeys(announced, refused) })
    .where('instance_id', '=', announced.instanceId)
    .executeTakeFirst();
  return touched.numUpdatedRows > 0n;
}

/** A process that ended in order need not be waited for. */
export async function forgetInstance(
  ctx: Pick<NatsIdentityContext, 'db'>,
  instanceId: string,
): Promise<void> {
  await ctx.db.deleteFrom('encryption_instance').where('instance_id', '=', instanceId).execute();
}
