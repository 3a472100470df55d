import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import type { BaseConfig } from './settings.ts';

/** How a process ends. */
export interface Ending {
  /** Ends everything in order: requests, consumers, outbox, connections. */
  stop(): Promise<void>;
  /**
   * The same for a process that others shall take over from: first it says for DRAIN_SECONDS that it is not ready, and
   * serves on. Every answer of this time ends its connection, so that whoever asks again finds another instance; and a
   * connection that rests for so long was closed by its other side (balance.ts). So none is cut with a request on it.
   */
  leave(): Promise<void>;
}

/** Makes the ending of a process. `drain` makes it say that it is not ready, `stop` ends it. */
export function endingOf(
  config: Pick<BaseConfig, 'DRAIN_SECONDS'>,
  work: { drain: () => void; stop: () => Promise<void> },
): Ending {
  let stopped: Promise<void> | undefined;
  const hurry = new AbortController();
  const stop = () => {
    hurry.abort();
    stopped ??= work.stop();
    return stopped;
  };
  return {
    stop,
    async leave() {
      work.drain();
      const { signal } = hurry;
      await delay(config.DRAIN_SECONDS * 1000, undefined, { signal }).catch(() => {});
      await stop();
    },
  };
}

/** Refuses new connections and waits for the open requests, SHUTDOWN_TIMEOUT_SECONDS at most. */
export async function closeApp(
  app: FastifyInstance,
  config: Pick<BaseConfig, 'SHUTDOWN_TIMEOUT_SECONDS'>,
): Promise<void> {
  const late = setTimeout(() => app.server.closeAllConnections(), config.SHUTDOWN_TIMEOUT_SECONDS * 1000);
  try {
    await app.close();
  } finally {
    clearTimeout(late);
  }
}
