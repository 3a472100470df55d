import { newId, Problem, Time } from '@gatehouse/kit';
import type { ReencryptionTable } from '@gatehouse/schema';
import type { Selectable } from 'kysely';
import Type, { type Static } from 'typebox';
import { ChangeView, changeQuery, changeView, inChange, reasonBody } from '../change.ts';
import { type NatsidTransaction, route } from '../context.ts';
import { knownKeys, lockEncryption, recordsOf, takeCensus } from './encryption-key.ts';
import { text } from './key-view.ts';

export type Reencryption = Selectable<ReencryptionTable>;

export const ReencryptionView = Type.Object({
  id: Type.String(),
  to_key_id: Type.String(),
  state: Type.Enum(['running', 'done', 'failed', 'cancelled']),
  phase: Type.Enum(['rewrap', 'services', 'verify'], {
    description:
      'rewrap: our own records; services: those of the other services; verify: every record is opened once.',
  }),
  total: Type.Integer({ description: 'Records that needed another key when it began.' }),
  rewrapped: Type.Integer(),
  verified: Type.Integer(),
  error: Type.Union([Type.String(), Type.Null()]),
  started_at: Time,
  updated_at: Time,
  finished_at: Type.Union([Time, Type.Null()]),
});

/** What is shown of a re-encryption. */
export function reencryptionView(run: Reencryption): Static<typeof ReencryptionView> {
  const { id, to_key_id, state, phase, total, rewrapped, verified, error } = run;
  return {
    ...{ id, to_key_id, state, phase, total, rewrapped, verified, error },
    started_at: run.started_at.toISOString(),
    updated_at: run.updated_at.toISOString(),
    finished_at: text(run.finished_at),
  };
}

/** The newest re-encryption; undefined when there never was one. */
export function lastReencryption(
  db: Pick<NatsidTransaction, 'selectFrom'>,
): Promise<Reencryption | undefined> {
  return db
    .selectFrom('reencryption')
    .selectAll()
    .orderBy('started_at', 'desc')
    .orderBy('id', 'desc')
    .limit(1)
    .executeTakeFirst();
}

/** Begins to put every record under the key that seals, or finds that this is under way. */
export const reencrypt = route({
  method: 'POST',
  path: '/api/nats/encryption/reencrypt',
  access: 'platform.manage',
  summary: 'Put every sealed record under the key that seals',
  description:
    'Runs in the background beside traffic, in any process, and goes on where it stood after a crash. Asking again while it runs changes nothing.',
  query: Type.Object({ ...changeQuery }),
  body: Type.Object({ ...reasonBody }),
  status: 202,
  answer: Type.Object({ reencryption: ReencryptionView, change: ChangeView }),
  problems: ['conflict'],
  run: (ctx) => async (call) => {
    const census = await takeCensus(ctx, call.trace.traceparent);
    const run = await inChange(ctx, call.query, async (tx) => {
      await lockEncryption(tx);
      const last = await lastReencryption(tx);
      if (last?.state === 'running') return last;
      const keys = await knownKeys(tx);
      const primary = keys.find(({ state }) => state === 'primary');
      if (primary === undefined) throw new Problem('conflict', { detail: 'No key seals yet.' });
      const others = keys.filter((key) => key !== primary);
      return await tx
        .insertInto('reencryption')
        .values({
          id: newId(),
          to_key_id: primary.id,
          state: 'running',
          total: others.reduce((sum, { id }) => sum + recordsOf(census, id).records, 0),
          started_by: call.principal.userId,
        })
        .returningAll()
        .executeTakeFirstOrThrow();
    });
    return { reencryption: reencryptionView(run), change: changeView(call.query) };
  },
});
