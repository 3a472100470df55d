import { append } from '@gatehouse/kit';
import { sql } from 'kysely';
import type { NatsIdentityContext, NatsIdentityJob, NatsidTransaction } from '../context.ts';
import {
  byItself,
  type Census,
  type EncryptionKey,
  instanceName,
  knownKeys,
  LIVE_SECONDS,
  liveInstances,
  lockEncryption,
  lostKeys,
  moveKey,
  recordsOf,
  takeCensus,
} from './encryption-key.ts';
import { followWish, type Waiting } from './promote-key.ts';
import { sealLegacyAnew } from './seal-legacy.ts';

/** Brings the keys' states to what the processes hold and the records need. */
export const keepStates: NatsIdentityJob = {
  name: 'encryption-keys',
  everySeconds: 3,
  instances: 'one',
  run: async (ctx) => {
    await sealLegacyAnew(ctx);
    const { promoted, waiting } = await ctx.db.transaction().execute(async (tx) => {
      await tx
        .deleteFrom('encryption_instance')
        .where('seen_at', '<', sql<Date>`now() - interval '1 hour'`)
        .execute();
      return followWish(tx, lostKeys(ctx));
    });
    if (promoted !== undefined) {
      if (ctx.secrets.keyring.holds(promoted)) ctx.secrets.keyring.usePrimary(promoted);
      ctx.log.info({ key_id: promoted }, 'another encryption key seals from now on');
    }
    tellWaiting(ctx, waiting);
    const moved = await moveByRecords(ctx);
    if (moved || promoted !== undefined) ctx.relay.poke();
  },
};

const told = new WeakMap<NatsIdentityContext, string>();

// Once an episode: the job comes back every few seconds.
function tellWaiting(ctx: NatsIdentityContext, waiting: Waiting | undefined): void {
  const said =
    waiting === undefined
      ? ''
      : JSON.stringify([waiting.key_id, waiting.because, waiting.instances.map(instanceName)]);
  if (told.get(ctx) === said) return;
  told.set(ctx, said);
  if (waiting === undefined) return;
  ctx.log.warn(
    { key_id: waiting.key_id, because: waiting.because, instances: waiting.instances.map(instanceName) },
    'ENCRYPTION_CURRENT_KEY_ID is not followed yet',
  );
}

async function moveByRecords(ctx: NatsIdentityContext): Promise<boolean> {
  const idle = (await knownKeys(ctx.db)).every(({ state }) => state === 'primary');
  if (idle) return false;
  const census = await takeCensus(ctx);
  return await ctx.db.transaction().execute(async (tx) => {
    await lockEncryption(tx);
    const wanted = new Set((await liveInstances(tx)).map(({ wanted_key_id }) => wanted_key_id));
    let moved = false;
    for (const key of await settled(tx)) {
      const to = nextState(key, census, wanted);
      if (to === undefined || !(await moveKey(tx, key, to))) continue;
      moved = true;
      if (to === 'drained') await tellDrained(tx, key.id);
      else ctx.log.warn({ key_id: key.id, state: key.state }, 'records need an encryption key that was idle');
    }
    return moved;
  });
}

// A process may seal under the old key until it has heard of the new one, and may commit later still.
function settled(tx: NatsidTransaction): Promise<EncryptionKey[]> {
  return tx
    .selectFrom('encryption_key')
    .selectAll()
    .where('state', '<>', 'primary')
    .where(
      sql<boolean>`coalesce(retiring_at, created_at) < now() - ${LIVE_SECONDS}::int4 * interval '1 second'`,
    )
    .execute();
}

function nextState(
  { id, state }: EncryptionKey,
  census: Census,
  wanted: ReadonlySet<string>,
): 'retiring' | 'drained' | undefined {
  const { records, complete } = recordsOf(census, id);
  if (state === 'retiring') return records === 0 && complete ? 'drained' : undefined;
  // Sealed by a process that had not heard which key seals, or before the states were kept.
  if (records > 0 && !(state === 'staged' && wanted.has(id))) return 'retiring';
  return undefined;
}

async function tellDrained(tx: NatsidTransaction, keyId: string): Promise<void> {
  const { by, traceparent } = byItself('no record needs it');
  await append(tx, {
    type: 'natsid.encryption.drained',
    tenant_id: null,
    aggregate: `encryption_key:${keyId}`,
    traceparent,
    data: { ...by, key_id: keyId },
  });
}

/** Keeps the count of records by the state of their key, in every process for itself. */
export const countRecords: NatsIdentityJob = {
  name: 'encryption-records',
  everySeconds: 10,
  instances: 'each',
  run: async (ctx) => {
    const [keys, census] = await Promise.all([knownKeys(ctx.db), takeCensus(ctx)]);
    const counts = new Map<string, number>();
    for (const { id, state } of keys)
      counts.set(state, (counts.get(state) ?? 0) + recordsOf(census, id).records);
    for (const state of ['staged', 'primary', 'retiring', 'drained', 'destroyed'])
      ctx.metrics.encryptionRecords.set({ state }, counts.get(state) ?? 0);
  },
};
