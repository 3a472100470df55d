import { setTimeout as pause, setImmediate as turn } from 'node:timers/promises';
import { append, isLegacySealed, PeerError, questions } from '@gatehouse/kit';
import { sql } from 'kysely';
import type { NatsIdentityContext, NatsIdentityJob, NatsidTransaction } from '../context.ts';
import { openSecret, openSeed, type SealedRow, sealedFor } from '../secret.ts';
import { lostKeys } from './encryption-key.ts';
import type { Reencryption } from './reencrypt.ts';
import { sealAnew } from './seal-legacy.ts';

/** Records of one transaction: a flush of the disk each, and nobody waits long for a row. */
const BATCH = 200;
/** After so many records whatever else waits for the event loop has its turn: a millisecond or two. */
const TURN = 20;
/** After each transaction two thirds of the time are left to others, and more on a machine that is busy anyway. */
const REST_FACTOR = 2;
const REST_MS_MIN = 10;
const SLICE_MS = 2_000;

/**
 * Takes the running re-encryption further. Every process tries, the row's lock lets one work; what a dead one had not
 * committed is done again from the cursor, by anybody.
 */
export const reencryptRecords: NatsIdentityJob = {
  name: 'reencryption',
  everySeconds: 1,
  instances: 'each',
  run: async (ctx) => {
    const until = performance.now() + SLICE_MS;
    while (performance.now() < until) {
      const begun = performance.now();
      const outcome = await ctx.db.transaction().execute((tx) => step(tx, ctx));
      if (outcome === 'idle') return;
      if (outcome === 'told') ctx.relay.poke();
      await pause(Math.max(REST_MS_MIN, REST_FACTOR * (performance.now() - begun)));
    }
  },
};

/** `idle`: nothing to do, or nothing to be done now; `told`: an event was written. */
type Step = 'idle' | 'on' | 'told';

async function step(tx: NatsidTransaction, ctx: NatsIdentityContext): Promise<Step> {
  const run = await tx
    .selectFrom('reencryption')
    .selectAll()
    .where('state', '=', 'running')
    .forUpdate()
    .skipLocked()
    .executeTakeFirst();
  if (run === undefined || !ctx.secrets.keyring.holds(run.to_key_id)) return 'idle';
  if (run.phase === 'rewrap') return rewrapOwn(tx, ctx, run);
  if (run.phase === 'services') return rewrapOthers(tx, ctx, run);
  return verify(tx, ctx, run);
}

async function rewrapOwn(tx: NatsidTransaction, ctx: NatsIdentityContext, run: Reencryption): Promise<Step> {
  // Locked rows are left for the next look: we never wait for somebody who waits for us.
  const rows = await tx
    .selectFrom('secret')
    .select(['id', 'kind', 'public_key', 'sealed', 'key_id'])
    .where('key_id', 'not in', [run.to_key_id, ...lostKeys(ctx)])
    .$if(run.cursor_id !== null, (some) => some.where('id', '>', run.cursor_id ?? ''))
    .orderBy('id')
    .limit(BATCH)
    .forNoKeyUpdate()
    .skipLocked()
    .execute();
  const last = rows.at(-1);
  if (last === undefined) {
    // Whoever sealed just before the switch may have committed behind the cursor: the walk ends when a whole one
    // finds nothing.
    if (run.cursor_id !== null) return advance(tx, run, { cursor_id: null });
    return advance(tx, run, { phase: 'services' });
  }
  const moved: { id: string; was: string; sealed: string }[] = [];
  for (const [at, row] of rows.entries()) {
    if (at % TURN === TURN - 1) await turn();
    try {
      const ours = isLegacySealed(row.sealed) ? sealAnew(ctx, row) : row.sealed;
      const sealed = ctx.secrets.keyring.rewrap(ours, ownerOf(row), run.to_key_id);
      moved.push({ id: row.id, was: row.sealed, sealed });
    } catch (error) {
      return fail(tx, ctx, run, { record: row.id, keyId: row.key_id, error });
    }
  }
  const updated = await sql`
    update secret set sealed = moved.sealed, key_id = ${run.to_key_id}
    from jsonb_to_recordset(${JSON.stringify(moved)}::jsonb) as moved (id uuid, was text, sealed text)
    where secret.id = moved.id and secret.sealed = moved.was`.execute(tx);
  const rewrapped = run.rewrapped + Number(updated.numAffectedRows ?? 0);
  ctx.metrics.encryptionOperations.inc({ operation: 'rewrap', result: 'ok' }, moved.length);
  return advance(tx, run, { cursor_id: last.id, rewrapped });
}

const ownerOf = (row: SealedRow) => sealedFor(row.kind, row.id, row.public_key);

// The cursor is `service/record`; a service that does not answer is asked again until it does.
async function rewrapOthers(
  tx: NatsidTransaction,
  ctx: NatsIdentityContext,
  run: Reencryption,
): Promise<Step> {
  const [at = '', after = ''] = run.cursor_id?.split('/', 2) ?? [];
  const service = questions.sealingServices.find((name) => name === at) ?? questions.sealingServices[0];
  const ask = { to: run.to_key_id, after: after === '' ? null : after, limit: BATCH };
  const answer = await ctx.peer
    .ask(questions.rewrapSealed(service), ask)
    .catch((error: unknown) => (error instanceof PeerError ? undefined : Promise.reject(error)));
  if (answer === undefined) {
    await advance(tx, run, { error: `${service} does not answer; it is asked again` });
    return 'idle';
  }
  const rewrapped = run.rewrapped + answer.rewrapped;
  if (answer.failed !== null) {
    const error = new Error('does not open');
    return fail(tx, ctx, run, { record: `${service}/${answer.failed}`, keyId: run.to_key_id, error });
  }
  if (answer.next !== null)
    return advance(tx, run, { cursor_id: `${service}/${answer.next}`, rewrapped, error: null });
  const next = questions.sealingServices[questions.sealingServices.indexOf(service) + 1];
  if (next !== undefined) return advance(tx, run, { cursor_id: `${next}/`, rewrapped, error: null });
  return advance(tx, run, { phase: 'verify', cursor_id: null, rewrapped, error: null });
}

async function verify(tx: NatsidTransaction, ctx: NatsIdentityContext, run: Reencryption): Promise<Step> {
  const rows = await tx
    .selectFrom('secret')
    .select(['id', 'kind', 'public_key', 'sealed', 'key_id'])
    .where('key_id', 'not in', ['', ...lostKeys(ctx)])
    .$if(run.cursor_id !== null, (some) => some.where('id', '>', run.cursor_id ?? ''))
    .orderBy('id')
    .limit(BATCH)
    .execute();
  const last = rows.at(-1);
  if (last === undefined) return finish(tx, ctx, run);
  for (const [at, row] of rows.entries()) {
    if (at % TURN === TURN - 1) await turn();
    try {
      if (row.kind === 'creds' || row.kind === 'canary') openSecret(ctx, row).fill(0);
      else openSeed(ctx, row);
    } catch (error) {
      return fail(tx, ctx, run, { record: row.id, keyId: row.key_id, error });
    }
  }
  return advance(tx, run, { cursor_id: last.id, verified: run.verified + rows.length });
}

async function finish(tx: NatsidTransaction, ctx: NatsIdentityContext, run: Reencryption): Promise<Step> {
  const left = await tx
    .selectFrom('secret')
    .select('id')
    .where('key_id', 'not in', [run.to_key_id, ...lostKeys(ctx)])
    .limit(1)
    .executeTakeFirst();
  if (left !== undefined) return advance(tx, run, { phase: 'rewrap', cursor_id: null, verified: 0 });
  await end(tx, run, { state: 'done' });
  await append(tx, {
    type: 'natsid.encryption.reencrypted',
    tenant_id: null,
    aggregate: `encryption_key:${run.to_key_id}`,
    traceparent: null,
    data: { ...startedBy(run), key_id: run.to_key_id, records: run.rewrapped },
  });
  ctx.log.info({ key_id: run.to_key_id, records: run.rewrapped }, 're-encryption ended');
  return 'told';
}

interface Failure {
  readonly record: string;
  /** The key that the record names. */
  readonly keyId: string;
  readonly error: unknown;
}

// A record that does not open is a damage, or somebody's doing: going on would bury it under thousands that do.
async function fail(
  tx: NatsidTransaction,
  ctx: NatsIdentityContext,
  run: Reencryption,
  { record, keyId, error }: Failure,
): Promise<Step> {
  const why = error instanceof Error ? error.message : 'does not open';
  await end(tx, run, { state: 'failed', error: `record ${record}: ${why}` });
  await append(tx, {
    type: 'natsid.encryption.failed',
    tenant_id: null,
    aggregate: `encryption_key:${keyId}`,
    traceparent: null,
    data: { ...startedBy(run), key_id: keyId, record },
  });
  ctx.log.error({ err: error, record, key_id: keyId }, 're-encryption stopped: a record does not open');
  return 'told';
}

const startedBy = ({ started_by }: Reencryption) => ({
  actor_id: started_by,
  reason: null,
  client_ip: null,
  user_agent: null,
});

type Progress = Partial<Pick<Reencryption, 'phase' | 'cursor_id' | 'rewrapped' | 'verified' | 'error'>>;

async function advance(tx: NatsidTransaction, { id }: Reencryption, progress: Progress): Promise<'on'> {
  await tx
    .updateTable('reencryption')
    .set({ ...progress, updated_at: sql<Date>`now()` })
    .where('id', '=', id)
    .execute();
  return 'on';
}

async function end(
  tx: NatsidTransaction,
  { id }: Reencryption,
  how: { readonly state: 'done' | 'failed'; readonly error?: string },
): Promise<void> {
  const now = sql<Date>`now()`;
  await tx
    .updateTable('reencryption')
    .set({ error: null, ...how, updated_at: now, finished_at: now })
    .where('id', '=', id)
    .execute();
}
