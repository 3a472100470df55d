import { append, Problem, retryLater } from '@gatehouse/kit';
import Type from 'typebox';
import { actedBy, ChangeView, changeQuery, changeView, inChange, reasonQuery } from '../change.ts';
import { route } from '../context.ts';
import { knownKeys, lockEncryption, moveKey, ownRecords, recordsOf, takeCensus } from './encryption-key.ts';
import { EncryptionKeyView, KeyIdParams, viewKey } from './key-view.ts';

/** Gives up a key that no record needs: from then on ENCRYPTION_KEYS need not have it, and it never seals again. */
export const destroyKey = route({
  method: 'DELETE',
  path: '/api/nats/encryption/keys/:id',
  access: 'platform.manage',
  summary: 'Give up a key of the encryption ring for good',
  description:
    'Refused while any record of any service needs it. Backups taken before still do: keep the key with them.',
  params: KeyIdParams,
  query: Type.Object({ ...changeQuery, ...reasonQuery }),
  answer: Type.Object({ key: EncryptionKeyView, change: ChangeView }),
  problems: ['not_found', 'key_in_use', 'upstream_unavailable'],
  run: (ctx) => async (call) => {
    const { id } = call.params;
    const { traceparent } = call.trace;
    const census = recordsOf(await takeCensus(ctx, traceparent), id);
    await inChange(ctx, call.query, async (tx) => {
      await lockEncryption(tx);
      const key = (await knownKeys(tx)).find((one) => one.id === id);
      if (key === undefined) throw new Problem('not_found');
      if (key.state === 'destroyed') return;
      // Our own are counted again: between the census and the lock somebody may have sealed.
      const records = Math.max(census.records, (await ownRecords(tx))[id] ?? 0);
      const members = { state: key.state, records, records_by_service: census.by_service };
      if (records > 0)
        throw new Problem('key_in_use', { detail: `${records} records need the key: re-encrypt.`, members });
      if (!census.complete)
        throw retryLater('upstream_unavailable', 5, {
          detail: 'Not every service says whether it needs the key.',
          members,
        });
      if (key.state !== 'drained' && key.state !== 'staged')
        throw new Problem('key_in_use', { detail: `The key is ${key.state}.`, members });
      await moveKey(tx, key, 'destroyed');
      await append(tx, {
        type: 'natsid.encryption.destroyed',
        tenant_id: null,
        aggregate: `encryption_key:${id}`,
        traceparent,
        data: { ...actedBy(call, call.query.reason), key_id: id },
      });
    });
    return { key: await viewKey(ctx, id, traceparent), change: changeView(call.query) };
  },
});
