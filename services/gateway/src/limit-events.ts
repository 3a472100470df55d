import { addressKey, type Log } from '@gatehouse/kit';
import type { LimitScope } from './limit-scopes.ts';

/** One refused request. */
export interface Refusal {
  readonly scope: LimitScope;
  readonly limit: number;
  readonly windowSeconds: number;
  readonly ip: string | null;
  readonly userAgent: string | null;
  readonly traceparent: string | null;
}

/** What is written: refusals of one key added up, or a change of the shared store. */
export type LimitEvent =
  | ({ readonly kind: 'refused'; readonly count: number } & Refusal)
  | { readonly kind: 'store'; readonly state: 'lost' | 'recovered' };

/** Tells the audit of refusals without making anybody wait, and without letting an attacker fill the outbox. */
export interface LimitEvents {
  refused(refusal: Refusal): void;
  storeChanged(state: 'lost' | 'recovered'): void;
  /** Writes what is left, due or not; once, while stopping. */
  close(): Promise<void>;
}

interface Tally {
  refusal: Refusal;
  /** Refused since the last event of this key. */
  count: number;
  /** The next event of this key may be written from here on. */
  dueAt: number;
}

/** The first refusal of a key shows in the audit this soon. */
const FLUSH_MS = 500;
/** Addresses told apart; the refusals of any more are added up by scope, with no address (about 5 MB when full). */
const KEYS_MAX = 10_000;
const STORE_CHANGES_MAX = 100;

/**
 * At most one event a key and window: the first at once, then what came since, each window, until it ends. The counts
 * of a key's events add up to its refusals. What cannot be written (the database is away) is kept and tried again.
 */
export function createLimitEvents(options: {
  log: Log;
  write: (events: readonly LimitEvent[]) => Promise<void>;
}): LimitEvents {
  const tallies = new Map<string, Tally>();
  const changes: LimitEvent[] = [];
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> = Promise.resolve();

  function schedule(): void {
    timer ??= setTimeout(() => {
      timer = undefined;
      writing = flush(performance.now());
    }, FLUSH_MS).unref();
  }

  async function flush(now: number): Promise<void> {
    const due: Tally[] = [];
    for (const [key, tally] of tallies) {
      if (tally.dueAt > now) continue;
      if (tally.count === 0) tallies.delete(key);
      else due.push(tally);
    }
    const counts = due.map(({ count }) => count);
    const told = changes.length;
    const events: LimitEvent[] = [
      ...changes,
      ...due.map(({ refusal, count }): LimitEvent => ({ kind: 'refused', ...refusal, count })),
    ];
    try {
      if (events.length > 0) await options.write(events);
      changes.splice(0, told);
      for (const [index, tally] of due.entries()) {
        tally.count -= counts[index] ?? 0;
        tally.dueAt = now + tally.refusal.windowSeconds * 1000;
      }
    } catch (err) {
      options.log.warn({ err, waiting: events.length }, 'rate limit events could not be written');
    }
    if (tallies.size > 0 || changes.length > 0) schedule();
  }

  return {
    refused(refusal) {
      const own = `${refusal.scope} ${addressKey(refusal.ip ?? '')}`;
      const fits = tallies.has(own) || tallies.size < KEYS_MAX;
      const key = fits ? own : refusal.scope;
      const counted = fits ? refusal : { ...refusal, ip: null, userAgent: null, traceparent: null };
      const tally = tallies.get(key) ?? { refusal: counted, count: 0, dueAt: 0 };
      tally.count += 1;
      tally.refusal = counted;
      tallies.set(key, tally);
      schedule();
    },
    storeChanged(state) {
      if (changes.length < STORE_CHANGES_MAX) changes.push({ kind: 'store', state });
      schedule();
    },
    async close() {
      await writing;
      await flush(Number.POSITIVE_INFINITY);
      clearTimeout(timer);
    },
  };
}
