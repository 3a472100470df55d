import { append, Problem } from '@gatehouse/kit';
import { sql } from 'kysely';
import Type from 'typebox';
import { actedBy, ChangeView, changeQuery, changeView, inChange, reasonBody } from '../change.ts';
import { type NatsIdentityContext, type NatsidTransaction, route } from '../context.ts';
import {
  byItself,
  type EncryptionKey,
  type Instance,
  instanceName,
  type KeyCause,
  knownKeys,
  lacking,
  liveInstances,
  lockEncryption,
  lostKeys,
  moveKey,
} from './encryption-key.ts';
import { EncryptionKeyView, KeyIdParams, viewKey } from './key-view.ts';

/** What became of making a key the one that seals. */
export type Promotion =
  | { readonly outcome: 'primary'; readonly former: string | null }
  | { readonly outcome: 'already' | 'unknown' | 'destroyed' }
  | { readonly outcome: 'lacking'; readonly instances: readonly Instance[] };

/** Makes a key the one that seals, as soon as every process that lives holds it. Call with the lock held. */
export async function promote(tx: NatsidTransaction, keyId: string, cause: KeyCause): Promise<Promotion> {
  const keys = await knownKeys(tx);
  const key = keys.find(({ id }) => id === keyId);
  if (key === undefined) return { outcome: 'unknown' };
  if (key.state === 'primary') return { outcome: 'already' };
  if (key.state === 'destroyed') return { outcome: 'destroyed' };
  const instances = lacking(await liveInstances(tx), keyId);
  if (instances.length > 0) return { outcome: 'lacking', instances };
  const former = keys.find(({ state }) => state === 'primary');
  if (former !== undefined) await moveKey(tx, former, 'retiring');
  await moveKey(tx, key, 'primary');
  // What is being re-encrypted goes to a key that is no longer the one to go to.
  await tx
    .updateTable('reencryption')
    .set({ state: 'cancelled', finished_at: sql<Date>`now()`, error: `${keyId} seals now` })
    .where('state', '=', 'running')
    .execute();
  await append(tx, {
    type: 'natsid.encryption.primary',
    tenant_id: null,
    aggregate: `encryption_key:${keyId}`,
    traceparent: cause.traceparent,
    data: { ...cause.by, key_id: keyId, former: former?.id ?? null },
  });
  return { outcome: 'primary', former: former?.id ?? null };
}

/** A key that ENCRYPTION_CURRENT_KEY_ID names and that does not seal yet, and why. */
export interface Waiting {
  readonly key_id: string;
  readonly instances: readonly Instance[];
  /** `lacking`: some process does not hold it. `was_primary`: only a command brings a key back. */
  readonly because: 'lacking' | 'was_primary' | 'destroyed';
}

/** What the processes that live wish for, the youngest first: a key that may take over, or what stands against it. */
function wishOf(
  keys: readonly EncryptionKey[],
  instances: readonly Instance[],
  lost: readonly string[],
): { readonly promote?: string; readonly waiting?: Waiting } {
  const primary = keys.find(({ state }) => state === 'primary')?.id;
  let waiting: Waiting | undefined;
  for (const wanted of new Set(instances.map(({ wanted_key_id }) => wanted_key_id))) {
    const state = keys.find(({ id }) => id === wanted)?.state;
    if (state === undefined || state === 'primary') continue;
    const without = lacking(instances, wanted);
    if (state === 'destroyed') waiting ??= { key_id: wanted, instances: [], because: 'destroyed' };
    // Only a key that never sealed takes over by itself: a restart with old settings must not undo a command.
    else if (state !== 'staged' && primary !== undefined && !lost.includes(primary))
      waiting ??= { key_id: wanted, instances: [], because: 'was_primary' };
    else if (without.length > 0) waiting ??= { key_id: wanted, instances: without, because: 'lacking' };
    else return { promote: wanted };
  }
  return waiting === undefined ? {} : { waiting };
}

/** Follows ENCRYPTION_CURRENT_KEY_ID; `lost`: keys that nobody has any more, whatever their state. */
export async function followWish(
  tx: NatsidTransaction,
  lost: readonly string[],
): Promise<{ readonly promoted?: string; readonly waiting?: Waiting }> {
  await lockEncryption(tx);
  const { promote: wanted, waiting } = wishOf(await knownKeys(tx), await liveInstances(tx), lost);
  if (wanted === undefined) return waiting === undefined ? {} : { waiting };
  const cause = byItself('ENCRYPTION_CURRENT_KEY_ID names it, and every process holds it');
  const { outcome } = await promote(tx, wanted, cause);
  return outcome === 'primary' ? { promoted: wanted } : {};
}

/** What ENCRYPTION_CURRENT_KEY_ID waits for, without changing anything. */
export async function waitingFor(ctx: NatsIdentityContext): Promise<Waiting | undefined> {
  return wishOf(await knownKeys(ctx.db), await liveInstances(ctx.db), lostKeys(ctx)).waiting;
}

/** Makes a key seal: also one that did before, which no setting does. */
export const promoteKey = route({
  method: 'POST',
  path: '/api/nats/encryption/keys/:id/primary',
  access: 'platform.manage',
  summary: 'Let a key of the encryption ring seal',
  description:
    'Refused while a live process lacks the key: it could not open what is sealed from then on. Every process follows within seconds.',
  params: KeyIdParams,
  query: Type.Object({ ...changeQuery }),
  body: Type.Object({ ...reasonBody }),
  answer: Type.Object({
    key: EncryptionKeyView,
    former: Type.Union([Type.String(), Type.Null()]),
    change: ChangeView,
  }),
  problems: ['not_found', 'conflict', 'key_not_everywhere'],
  run: (ctx) => async (call) => {
    const { id } = call.params;
    const cause = { by: actedBy(call, call.body.reason), traceparent: call.trace.traceparent };
    const former = await inChange(ctx, call.query, async (tx) => {
      await lockEncryption(tx);
      const promotion = await promote(tx, id, cause);
      if (promotion.outcome === 'primary') return promotion.former;
      if (promotion.outcome === 'already') return null;
      throw refusal(promotion);
    });
    const dryRun = call.query.dry_run === 'true';
    if (!dryRun && ctx.secrets.keyring.holds(id)) ctx.secrets.keyring.usePrimary(id);
    return {
      key: await viewKey(ctx, id, call.trace.traceparent),
      former,
      change: changeView(call.query),
    };
  },
});

function refusal(promotion: Exclude<Promotion, { outcome: 'primary' | 'already' }>): Problem {
  if (promotion.outcome === 'unknown') return new Problem('not_found');
  if (promotion.outcome === 'destroyed')
    return new Problem('conflict', { detail: 'The key was given up for good.' });
  if (promotion.outcome !== 'lacking') return new Problem('conflict');
  return new Problem('key_not_everywhere', { members: { instances: promotion.instances.map(instanceName) } });
}
