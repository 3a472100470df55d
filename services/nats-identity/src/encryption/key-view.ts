import { KEY_ID_PATTERN, Problem, Time } from '@gatehouse/kit';
import Type, { type Static } from 'typebox';
import type { NatsIdentityContext } from '../context.ts';
import {
  type Census,
  type EncryptionKey,
  type Instance,
  knownKeys,
  liveInstances,
  recordsOf,
  takeCensus,
} from './encryption-key.ts';

const MaybeTime = Type.Union([Time, Type.Null()]);
const Count = Type.Union([Type.Integer(), Type.Null()]);

/** The id of a key in a path. */
export const KeyIdParams = Type.Object({ id: Type.String({ pattern: KEY_ID_PATTERN }) });

/** A key of the ring as answers show it; its value is nowhere but in ENCRYPTION_KEYS. */
export const EncryptionKeyView = Type.Object({
  id: Type.String(),
  state: Type.Enum(['staged', 'primary', 'retiring', 'drained', 'destroyed'], {
    description:
      'staged: read everywhere, never sealed; primary: seals; retiring: records need it; drained: none does; destroyed: given up.',
  }),
  records: Type.Integer({ description: 'Sealed records that need it, of the services that answer.' }),
  records_by_service: Type.Record(Type.String(), Count, {
    description: 'null: the service does not answer.',
  }),
  held_by: Type.Array(Type.String(), { description: 'Live processes that hold it.' }),
  lacked_by: Type.Array(Type.String(), { description: 'Live processes that do not.' }),
  created_at: Time,
  primary_at: MaybeTime,
  retiring_at: MaybeTime,
  drained_at: MaybeTime,
  destroyed_at: MaybeTime,
});
export type EncryptionKeyView = Static<typeof EncryptionKeyView>;

/** What is shown of a key. */
export function keyView(
  key: EncryptionKey,
  census: Census,
  instances: readonly Instance[],
): EncryptionKeyView {
  const { records, by_service } = recordsOf(census, key.id);
  const holds = ({ key_ids }: Instance) => key_ids.includes(key.id);
  return {
    id: key.id,
    state: key.state,
    records,
    records_by_service: by_service,
    held_by: instances.filter(holds).map(({ instance_id }) => instance_id),
    lacked_by: instances.filter((one) => !holds(one)).map(({ instance_id }) => instance_id),
    created_at: key.created_at.toISOString(),
    primary_at: text(key.primary_at),
    retiring_at: text(key.retiring_at),
    drained_at: text(key.drained_at),
    destroyed_at: text(key.destroyed_at),
  };
}

export const text = (time: Date | null): string | null => time?.toISOString() ?? null;

/** One key as it stands now. @throws Problem `not_found` */
export async function viewKey(
  ctx: NatsIdentityContext,
  id: string,
  traceparent: string,
): Promise<EncryptionKeyView> {
  const [keys, instances, census] = await Promise.all([
    knownKeys(ctx.db),
    liveInstances(ctx.db),
    takeCensus(ctx, traceparent),
  ]);
  const key = keys.find((one) => one.id === id);
  if (key === undefined) throw new Problem('not_found');
  return keyView(key, census, instances);
}
