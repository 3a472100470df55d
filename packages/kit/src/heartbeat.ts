import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { type Bus, heartbeatSubject, revocationStream } from './bus.ts';
import { API_STREAM_NOT_FOUND, isApiError } from './streams.ts';

/** What a heartbeat of the revocation feed says (JSON on core NATS, subject `revocation-heartbeat`). */
export interface HeartbeatMessage {
  /**
   * Last sequence of the revocation stream: whoever has read this far knows every revocation that was committed half
   * a second before `at`. Smaller than before: the stream is a new one, and is being filled again.
   */
  readonly seq: number;
  /** RFC 3339. */
  readonly at: string;
}

/** Vouches for the revocation feed. */
export interface Heartbeat {
  /**
   * One beat. Call it only after a look at the outbox has found nothing late in the revocation lane; `current` says
   * whether that look still counts (it does not when the bus was down since).
   */
  beat(current: () => boolean): Promise<void>;
}

/**
 * The stream is asked for its end after the look at the outbox, never before: so all that the look found published lies
 * before that end, whichever instance published it. `onLoss` runs when the stream has become shorter; no beat then.
 */
export function createHeartbeat(options: { bus: Bus; onLoss: () => Promise<void> }): Heartbeat {
  const { bus, onLoss } = options;
  let manager: { nc: NatsConnection; jsm: JetStreamManager } | undefined;
  let known = { created: '', seq: 0 };
  return {
    async beat(current) {
      const nc = bus.nc();
      if (nc === undefined || !bus.up) return;
      if (manager?.nc !== nc)
        manager = { nc, jsm: await jetstreamManager(nc, { checkAPI: false, timeout: 1_000 }) };
      const { created, state } = await manager.jsm.streams.info(revocationStream).catch((error: unknown) => {
        if (isApiError(error, API_STREAM_NOT_FOUND)) bus.repair();
        throw error;
      });
      if (created !== bus.createdAt(revocationStream)) return bus.repair();
      if (!current()) return;
      const { last_seq: seq } = state;
      const lost = created === known.created && seq < known.seq;
      known = { created, seq };
      if (lost) return onLoss();
      const message: HeartbeatMessage = { seq, at: new Date().toISOString() };
      nc.publish(heartbeatSubject, JSON.stringify(message));
    },
  };
}
