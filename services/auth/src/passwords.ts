import type { Call, Log, Metrics } from '@gatehouse/kit';
import type { Hasher, HashOutcome, VerifyOutcome } from './hash.ts';
import type { HashOperation } from './hash-busy.ts';

/** The hasher with its metrics, and with every refusal counted under what it was for. */
export interface Passwords {
  /** `phc` undefined (nobody has that address) costs the same as a hash that does not match. */
  verify(
    phc: string | undefined,
    password: string,
    operation: HashOperation,
    trace: Call['trace'],
  ): Promise<VerifyOutcome>;
  hash(password: string, operation: HashOperation): Promise<HashOutcome>;
  /** Whether a hash that can wait for another day would take nobody's place now. */
  hasRoom(): boolean;
  warm(): Promise<void>;
  state(): { in_flight: number; queued: number; max: number };
}

/** Wraps a hasher of `slots` places. */
export function createPasswords(parts: {
  hasher: Hasher;
  slots: number;
  metrics: Metrics;
  log: Log;
  onBusy: (operation: HashOperation) => void;
}): Passwords {
  const { hasher, slots, metrics, log, onBusy } = parts;

  function gauge(): void {
    metrics.hashesInFlight.set(hasher.inFlight);
    metrics.hashQueue.set(hasher.queued);
  }

  async function observed<T extends HashOutcome | VerifyOutcome>(
    operation: HashOperation,
    begin: () => Promise<T>,
  ): Promise<T> {
    const begun = performance.now();
    const work = begin();
    gauge();
    try {
      const result = await work;
      // With the wait for a place, which is 60 ms at most: it is what a sign-in pays for its hash.
      if (result.outcome === 'busy') onBusy(operation);
      else metrics.hashDuration.observe({ operation }, (performance.now() - begun) / 1000);
      return result;
    } finally {
      gauge();
    }
  }

  return {
    async verify(phc, password, operation, { traceId }) {
      const result = await observed<VerifyOutcome>(operation, () =>
        phc === undefined ? hasher.verifyNothing(password) : hasher.verify(phc, password),
      );
      if (result.outcome === 'verified' && result.fault)
        log.error({ fault: result.fault, trace_id: traceId }, 'stored password hash cannot be used');
      return result;
    },
    hash: (password, operation) => observed<HashOutcome>(operation, () => hasher.hash(password)),
    hasRoom: () => hasher.inFlight < slots && hasher.queued === 0,
    warm: () => hasher.warm(),
    state: () => ({ in_flight: hasher.inFlight, queued: hasher.queued, max: slots }),
  };
}
