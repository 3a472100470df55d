import type { questions } from '@gatehouse/kit';
import { sql } from 'kysely';
import { createDelivery } from './checkpoint-deliver.ts';
import { signNext } from './checkpoint-sign.ts';
import type { CheckpointContext } from './context.ts';
import { lookForRollback, openFaults } from './rollback.ts';

/** Where the trail and its newest checkpoint stand. */
interface State {
  /** Records of all chains. */
  readonly events: number;
  /** What the newest checkpoint counted; 0 without one. */
  readonly signedEvents: number;
  readonly newest: { readonly size: number; readonly note: string } | undefined;
  /** Of the newest checkpoint, by the database's clock. */
  readonly ageSeconds: number | undefined;
}

/** Keeps checkpoints for as long as the process lives. */
export interface Checkpoints {
  /** Looks for a rollback, signs when it is time, hands over. */
  tick(): Promise<void>;
}

/**
 * Every instance ticks, because each has a file of its own to look into and to keep complete; a lock lets one of them
 * sign at a time.
 */
export function createCheckpoints(ctx: CheckpointContext): Checkpoints {
  const delivery = createDelivery(ctx);
  const startedAt = performance.now();
  const upSeconds = () => (performance.now() - startedAt) / 1000;
  ctx.metrics.auditCheckpointInterval.set(ctx.config.AUDIT_CHECKPOINT_SECONDS);
  /** With so many records there was nothing to sign but the checkpoint before. */
  let quietAt = -1;
  return {
    async tick() {
      await lookForRollback(ctx);
      const faults = await openFaults(ctx.db);
      ctx.metrics.auditFaultsOpen.set(faults);
      let state = await readState(ctx);
      ctx.metrics.auditCheckpointAge.set(state.ageSeconds ?? upSeconds());
      // A signature on top of a fork would make the fork what is vouched for.
      if (faults > 0) return;
      if (state.events !== quietAt && isDue(ctx, state, upSeconds())) {
        const outcome = await sign(ctx);
        if (outcome === 'quiet') quietAt = state.events;
        if (outcome === 'signed') state = await readState(ctx);
      }
      if (state.newest !== undefined) await delivery.deliver(state.newest);
    },
  };
}

async function sign(ctx: CheckpointContext) {
  try {
    return await signNext(ctx);
  } catch (error) {
    ctx.metrics.auditCheckpointFailures.inc({ sink: 'sign' });
    throw error;
  }
}

// Before there is a checkpoint its age is the process': what a start brings with it goes into one.
function isDue({ config }: CheckpointContext, state: State, upSeconds: number): boolean {
  const since = state.events - state.signedEvents;
  if (since === 0) return false;
  const age = state.ageSeconds ?? upSeconds;
  return since >= config.AUDIT_CHECKPOINT_EVENTS || age >= config.AUDIT_CHECKPOINT_SECONDS;
}

async function readState({ db }: CheckpointContext): Promise<State> {
  const { rows } = await sql<{
    events: number;
    signed: number | null;
    size: number | null;
    note: string | null;
    age: number | null;
  }>`
    select (select coalesce(sum(sequence), 0)::bigint from chain) as events, c.events as signed, c.size, c.note,
      extract(epoch from now() - c.signed_at)::float8 as age
    from (select) as one left join lateral (
      select size, events, note, signed_at from checkpoint order by size desc limit 1) c on true`.execute(db);
  const { events = 0, signed = null, size = null, note = null, age = null } = rows[0] ?? {};
  return {
    events,
    signedEvents: signed ?? 0,
    newest: size === null || note === null ? undefined : { size, note },
    // Postgres' greatest() takes null for nothing: an age of 0 where there is none.
    ageSeconds: age === null ? undefined : Math.max(0, age),
  };
}

/** How the trail stands, for the report of the platform. */
export async function probeChain(ctx: CheckpointContext): Promise<questions.Component> {
  const begun = performance.now();
  const [faults, { ageSeconds, newest }] = await Promise.all([openFaults(ctx.db), readState(ctx)]);
  return {
    name: 'audit_chain',
    status: faults > 0 ? 'degraded' : 'healthy',
    latency_ms: Math.round((performance.now() - begun) * 10) / 10,
    details: {
      faults,
      checkpoint_size: newest?.size ?? 0,
      checkpoint_age_seconds: ageSeconds === undefined ? null : Math.round(ageSeconds),
    },
  };
}
