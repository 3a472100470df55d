import { Time } from '@gatehouse/kit';
import Type from 'typebox';
import { route } from '../context.ts';
import { knownKeys, liveInstances, takeCensus } from './encryption-key.ts';
import { EncryptionKeyView, keyView } from './key-view.ts';
import { waitingFor } from './promote-key.ts';
import { lastReencryption, ReencryptionView, reencryptionView } from './reencrypt.ts';

const InstanceView = Type.Object({
  instance_id: Type.String(),
  service: Type.String(),
  key_ids: Type.Array(Type.String()),
  wanted_key_id: Type.String({ description: 'What its ENCRYPTION_CURRENT_KEY_ID names.' }),
  started_at: Time,
  seen_at: Time,
});

const WaitingView = Type.Object({
  key_id: Type.String(),
  because: Type.Enum(['lacking', 'was_primary', 'destroyed'], {
    description:
      'lacking: the processes in `instances` do not hold it; was_primary: it sealed before, and only a command brings it back.',
  }),
  instances: Type.Array(Type.String()),
});

/** The ring as the platform knows it: which keys, who holds them, how many records need them. */
export const showEncryption = route({
  method: 'GET',
  path: '/api/nats/encryption',
  access: 'platform.read',
  summary: 'Encryption keys, who holds them, and how many records need them',
  answer: Type.Object({
    primary: Type.Union([Type.String(), Type.Null()]),
    keys: Type.Array(EncryptionKeyView),
    instances: Type.Array(InstanceView),
    waiting: Type.Union([WaitingView, Type.Null()], {
      description: 'A key that ENCRYPTION_CURRENT_KEY_ID names and that does not seal yet, and why.',
    }),
    reencryption: Type.Union([ReencryptionView, Type.Null()], { description: 'The newest one.' }),
  }),
  problems: ['database_unavailable'],
  run: (ctx) => async (call) => {
    const [keys, instances, census, waiting, reencryption] = await Promise.all([
      knownKeys(ctx.db),
      liveInstances(ctx.db),
      takeCensus(ctx, call.trace.traceparent),
      waitingFor(ctx),
      lastReencryption(ctx.db),
    ]);
    return {
      primary: keys.find(({ state }) => state === 'primary')?.id ?? null,
      keys: keys.map((key) => keyView(key, census, instances)),
      instances: instances.map((instance) => ({
        ...instance,
        started_at: instance.started_at.toISOString(),
        seen_at: instance.seen_at.toISOString(),
      })),
      waiting:
        waiting === undefined
          ? null
          : { ...waiting, instances: waiting.instances.map(({ instance_id }) => instance_id) },
      reencryption: reencryption === undefined ? null : reencryptionView(reencryption),
    };
  },
});
