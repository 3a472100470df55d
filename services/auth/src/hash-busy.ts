import { append } from '@gatehouse/kit';
import type { AuthBase } from './context.ts';

/** What a hash was wanted for; bounded, because it is a key of the event and a label of the metric. */
export type HashOperation =
  | 'login'
  | 'register'
  | 'password_change'
  | 'rehash'
  | 'first_administrator'
  | 'create_user';

/** Counts refusals and tells of them. */
export interface HashBusyReport {
  count(operation: HashOperation): void;
  /** Tells what is not told yet. */
  close(): Promise<void>;
}

/**
 * `auth.hash_busy`: the first refusal is told at once, what follows within a second is told together at its end. A
 * flood thus costs one row a second, and the sum of the counts is the number of refusals. What the database does not
 * take is kept for the next second; a crash loses at most what one process counted in it.
 */
export function createHashBusyReport(ctx: AuthBase, everyMs = 1000): HashBusyReport {
  let counts = new Map<HashOperation, number>();
  let timer: NodeJS.Timeout | undefined;
  let telling: Promise<void> = Promise.resolve();

  function tell(): void {
    timer = undefined;
    if (counts.size === 0) return;
    const told = counts;
    counts = new Map();
    timer = setTimeout(tell, everyMs);
    telling = write(ctx, told).catch((err: unknown) => {
      ctx.log.warn({ err }, 'hash_busy event not written yet');
      for (const [operation, count] of told) counts.set(operation, (counts.get(operation) ?? 0) + count);
    });
  }

  return {
    count(operation) {
      counts.set(operation, (counts.get(operation) ?? 0) + 1);
      if (timer === undefined) tell();
    },
    async close() {
      await telling;
      clearTimeout(timer);
      tell();
      clearTimeout(timer);
      await telling;
    },
  };
}

async function write(ctx: AuthBase, counts: ReadonlyMap<HashOperation, number>): Promise<void> {
  await ctx.db.transaction().execute((tx) =>
    append(tx, {
      type: 'auth.hash_busy',
      tenant_id: null,
      aggregate: 'hash',
      traceparent: null,
      data: {
        count: counts.values().reduce((sum, count) => sum + count, 0),
        operations: Object.fromEntries(counts),
      },
    }),
  );
  ctx.relay.poke();
}
