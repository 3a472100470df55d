import { isConnectivityError } from '@gatehouse/kit';

/**
 * Statements of one kind under way at once: while these run, what comes waits for the next and shares it (measured for
 * refreshes, services/token/src/spend.ts: more only made them smaller).
 */
const UNDER_WAY_MAX = 2;
const TOGETHER_MAX = 64;

interface Waiting<In, Out> {
  readonly one: In;
  readonly resolve: (out: Out) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Calls that arrive while statements are under way share the next one: one round trip, and for a change one commit and
 * one flush of the disk. A lone call goes out at once, in the same turn of the event loop. `perform` answers each in its
 * place; when it fails for several, each is tried by itself, so that one's fault does not become everybody's.
 */
export function gather<In, Out>(
  perform: (together: readonly In[]) => Promise<readonly Out[]>,
): (one: In) => Promise<Out> {
  let queue: Waiting<In, Out>[] = [];
  let underWay = 0;

  async function attempt(together: readonly Waiting<In, Out>[]): Promise<void> {
    try {
      const outs = await perform(together.map(({ one }) => one));
      for (const [at, { resolve }] of together.entries()) resolve(outs[at] as Out);
    } catch (error) {
      if (together.length === 1 || isConnectivityError(error)) {
        for (const { reject } of together) reject(error);
        return;
      }
      for (const one of together) await attempt([one]);
    }
  }

  function pump(): void {
    while (underWay < UNDER_WAY_MAX && queue.length > 0) {
      const together = queue.slice(0, TOGETHER_MAX);
      queue = queue.slice(TOGETHER_MAX);
      underWay += 1;
      void attempt(together).finally(() => {
        underWay -= 1;
        pump();
      });
    }
  }

  return (one) =>
    new Promise((resolve, reject) => {
      // After the poll phase: by then every request that has arrived stands in the queue.
      if (queue.length === 0) setImmediate(pump);
      queue.push({ one, resolve, reject });
    });
}
