import { probe } from '@gatehouse/kit';
import type { NatsIdentityContext } from '../context.ts';
import { canarySings } from './canary.ts';
import { instanceName, knownKeys } from './encryption-key.ts';
import { waitingFor } from './promote-key.ts';
import { lastReencryption } from './reencrypt.ts';

/**
 * Whether this process can open what is sealed, and whether the ring is as its settings want it. Unhealthy: seeds
 * cannot be opened here; degraded: somebody has something to do.
 */
export async function encryptionHealth(ctx: NatsIdentityContext) {
  let sings = false;
  let held = false;
  let calm = false;
  const component = await probe('encryption_keys', async () => {
    const [keys, waiting, run] = await Promise.all([
      knownKeys(ctx.db),
      waitingFor(ctx),
      lastReencryption(ctx.db),
    ]);
    const primary = keys.find(({ state }) => state === 'primary')?.id ?? null;
    sings = await canarySings(ctx);
    held = primary !== null && ctx.secrets.keyring.holds(primary);
    calm = waiting === undefined && run?.state !== 'failed';
    return {
      primary,
      key_count: ctx.secrets.keyring.keyIds.length,
      canary: sings ? 'opens' : 'does not open',
      ...(waiting && {
        waiting: { key_id: waiting.key_id, because: waiting.because },
        waiting_for: waiting.instances.map(instanceName),
      }),
      ...(run && { reencryption: run.state }),
    };
  });
  if (component.status !== 'healthy') return component;
  if (!sings || !held) return { ...component, status: 'unhealthy' as const };
  return calm ? component : { ...component, status: 'degraded' as const };
}
