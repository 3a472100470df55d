import { eventSubjects } from '@gatehouse/events';
import { eventStream, revocationStream } from '@gatehouse/nats-claims';
import {
  JetStreamApiError,
  type JetStreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
  type StreamInfo,
} from '@nats-io/jetstream';
import { nanos } from '@nats-io/nats-core';

export { eventStream, heartbeatSubject, revocationStream, revocationSubject } from '@gatehouse/nats-claims';

/** Limits of the streams. */
export interface StreamOptions {
  /** Copies of each message in a cluster. */
  readonly replicas: number;
  readonly eventsMaxAgeSeconds: number;
  /** Lifetime of an access token plus slack. */
  readonly revocationsMaxAgeSeconds: number;
}

/** When each stream was made: another moment means another stream, and all that was in the old one is gone. */
export type Incarnations = { readonly [name: string]: string };

type Wanted = Pick<StreamConfig, 'name' | 'subjects' | 'max_age' | 'duplicate_window' | 'num_replicas'>;

const DEDUPE_WINDOW_SECONDS = 120;
const API_NAME_IN_USE = 10_058;
/** JetStream syncs what it makes to the disk, and a busy disk takes its time. */
export const API_TIMEOUT_MS = 10_000;
/** JetStream's code for a stream that is not there. */
export const API_STREAM_NOT_FOUND = 10_059;

/** Makes the streams that are missing and updates those that differ. */
export async function ensureStreams(jsm: JetStreamManager, options: StreamOptions): Promise<Incarnations> {
  const wanted = (name: string, subjects: readonly string[], maxAgeSeconds: number): Wanted => ({
    name,
    subjects: [...subjects],
    max_age: nanos(maxAgeSeconds * 1000),
    duplicate_window: nanos(Math.min(DEDUPE_WINDOW_SECONDS, maxAgeSeconds) * 1000),
    num_replicas: options.replicas,
  });
  const [events, revocations] = await Promise.all([
    ensureStream(jsm, wanted(eventStream, eventSubjects, options.eventsMaxAgeSeconds)),
    ensureStream(jsm, wanted(revocationStream, ['revocation.>'], options.revocationsMaxAgeSeconds)),
  ]);
  return { [eventStream]: events.created, [revocationStream]: revocations.created };
}

/** Finds the streams, for a process that may not make them. @throws while one of them is not there */
export async function awaitStreams(jsm: JetStreamManager): Promise<Incarnations> {
  const [events, revocations] = await Promise.all([infoOf(jsm, eventStream), infoOf(jsm, revocationStream)]);
  if (events === undefined || revocations === undefined) throw new StreamsMissing();
  return { [eventStream]: events.created, [revocationStream]: revocations.created };
}

class StreamsMissing extends Error {
  override readonly name = 'StreamsMissing';
  constructor() {
    super('the streams are not there yet: the token and the audit service make them');
  }
}

async function ensureStream(jsm: JetStreamManager, wanted: Wanted): Promise<StreamInfo> {
  const found = await infoOf(jsm, wanted.name);
  if (found === undefined) {
    try {
      return await jsm.streams.add({
        ...wanted,
        storage: StorageType.File,
        retention: RetentionPolicy.Limits,
      });
    } catch (error) {
      // Another instance was faster, with settings of its own: ours are compared with them in the next try.
      if (!isApiError(error, API_NAME_IN_USE)) throw error;
      return ensureStream(jsm, wanted);
    }
  }
  return differs(found.config, wanted)
    ? jsm.streams.update(wanted.name, { ...found.config, ...wanted })
    : found;
}

async function infoOf(jsm: JetStreamManager, name: string): Promise<StreamInfo | undefined> {
  try {
    return await jsm.streams.info(name);
  } catch (error) {
    if (isApiError(error, API_STREAM_NOT_FOUND)) return undefined;
    throw error;
  }
}

function differs(config: StreamConfig, wanted: Wanted): boolean {
  const { subjects, ...limits } = wanted;
  return (
    subjects.toSorted().join() !== config.subjects.toSorted().join() ||
    Object.entries(limits).some(([key, value]) => config[key as keyof StreamConfig] !== value)
  );
}

/** Whether an error is JetStream's answer with this code. */
export function isApiError(error: unknown, code: number): boolean {
  return error instanceof JetStreamApiError && error.code === code;
}
