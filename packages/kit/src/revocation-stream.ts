import {
  AckPolicy,
  type ConsumerInfo,
  DeliverPolicy,
  type JetStreamManager,
  type JsMsg,
  jetstreamManager,
} from '@nats-io/jetstream';
import { type NatsConnection, nanos } from '@nats-io/nats-core';
import { API_STREAM_NOT_FOUND, isApiError, revocationStream } from './streams.ts';

/** There is no revocation stream: somebody deleted it, or the server lost its store. */
export class RevocationStreamMissing extends Error {
  constructor(cause: unknown) {
    super('stream not found', { cause });
    this.name = 'RevocationStreamMissing';
  }
}

/** What a reading of the stream tells. */
export interface StreamEvents {
  /** One message, in the order of the stream. */
  readonly entry: (message: JsMsg) => void;
  /** All there is up to this sequence has been given out. */
  readonly reached: (seq: number) => void;
  /** The reading has ended by itself and will not go on: consumer or stream deleted, a gap, silence. */
  readonly ended: (reason: string) => void;
}

const BATCH = 1000;
const PULL_EXPIRES_MS = 5000;
const IDLE_HEARTBEAT_MS = 1000;
const API_TIMEOUT_MS = 2000;
/** What the server forgets a consumer after, when its process died. */
const INACTIVE_THRESHOLD_MS = 30_000;

/**
 * Reads the whole stream from its start and stays on it. A consumer belongs to one incarnation of the stream: when
 * either goes away the reading ends, and the next one begins at the start again. So a recreated stream, whose
 * sequences begin anew, is never taken for the old one (the client's own ordered consumer resumes at its old sequence).
 *
 * @returns how to stop it. @throws RevocationStreamMissing, or what JetStream says when it does not answer.
 */
export async function readRevocations(nc: NatsConnection, events: StreamEvents): Promise<() => void> {
  const manager = await jetstreamManager(nc, { checkAPI: false, timeout: API_TIMEOUT_MS });
  const info = await addConsumer(manager);
  let stopped = false;
  let delivered = 0;
  const consumer = manager.jetstream().consumers.getConsumerFromInfo(info);
  const messages = await consumer.consume({
    max_messages: BATCH,
    expires: PULL_EXPIRES_MS,
    idle_heartbeat: IDLE_HEARTBEAT_MS,
    abort_on_missing_resource: true,
    callback(message) {
      if (stopped) return;
      const { deliverySequence, streamSequence } = message.info;
      if (deliverySequence !== delivered + 1) return end('gap');
      delivered = deliverySequence;
      events.entry(message);
      events.reached(streamSequence);
    },
  });

  function stop(): void {
    if (stopped) return;
    stopped = true;
    messages.stop();
    if (!nc.isClosed()) manager.consumers.delete(revocationStream, info.name).catch(() => {});
  }
  function end(reason: string): void {
    if (stopped) return;
    stop();
    events.ended(reason);
  }

  void messages.closed().then((error) => end(error instanceof Error ? error.message : 'closed'));
  void (async () => {
    for await (const notice of messages.status()) {
      if (endings.has(notice.type)) return end(notice.type);
    }
  })();
  // Nothing to come: where a new consumer stands is the last sequence of the stream, were it empty or expired.
  if (info.num_pending === 0) events.reached(info.delivered.stream_seq);
  return stop;
}

async function addConsumer(manager: JetStreamManager): Promise<ConsumerInfo> {
  try {
    return await manager.consumers.add(revocationStream, {
      ack_policy: AckPolicy.None,
      deliver_policy: DeliverPolicy.All,
      inactive_threshold: nanos(INACTIVE_THRESHOLD_MS),
      mem_storage: true,
      num_replicas: 1,
    });
  } catch (error) {
    if (isApiError(error, API_STREAM_NOT_FOUND)) throw new RevocationStreamMissing(error);
    throw error;
  }
}

const endings: ReadonlySet<string> = new Set([
  'consumer_deleted',
  'consumer_not_found',
  'stream_not_found',
  'heartbeats_missed',
  'no_responders',
]);
