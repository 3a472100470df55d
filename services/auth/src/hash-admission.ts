/** Who may hash now. Made by {@link createAdmission}. */
export interface Admission {
  /** A slot is taken when it says true; give it back with `leave`. At once, or after the wait at the latest. */
  enter(): Promise<boolean> | boolean;
  leave(): void;
  /** Refuses those waiting and all who come; resolves when those inside have left. */
  close(): Promise<void>;
  readonly inFlight: number;
  readonly queued: number;
  readonly refused: number;
}

/**
 * As many run as there are slots, as many may wait as may run, and nobody waits longer than `waitMs`. A slot passes from
 * hand to hand without becoming free between, so that a newcomer cannot overtake the queue.
 */
export function createAdmission(options: {
  slots: number;
  waitMs: number;
  onRefused: (() => void) | undefined;
}): Admission {
  const waiting: ((admitted: boolean) => void)[] = [];
  let running = 0;
  let refused = 0;
  let closed = false;
  const drained = Promise.withResolvers<void>();

  function refuse(): false {
    refused += 1;
    options.onRefused?.();
    return false;
  }

  function wait(): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = (admitted: boolean): void => {
        clearTimeout(timer);
        resolve(admitted || refuse());
      };
      const timer = setTimeout(() => {
        waiting.splice(waiting.indexOf(settle), 1);
        settle(false);
      }, options.waitMs);
      waiting.push(settle);
    });
  }

  return {
    enter() {
      if (closed) return refuse();
      if (running < options.slots) {
        running += 1;
        return true;
      }
      return waiting.length < options.slots ? wait() : refuse();
    },
    leave() {
      const next = waiting.shift();
      if (next) next(true);
      else running -= 1;
      if (closed && running === 0) drained.resolve();
    },
    close() {
      closed = true;
      for (const settle of waiting.splice(0)) settle(false);
      if (running === 0) drained.resolve();
      return drained.promise;
    },
    get inFlight() {
      return running;
    },
    get queued() {
      return waiting.length;
    },
    get refused() {
      return refused;
    },
  };
}
