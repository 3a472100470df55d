import { appendNote, newestKept } from './checkpoint-file.ts';
import type { CheckpointContext } from './context.ts';

const POST_DEADLINE_MS = 5_000;
/** A receiver that is away is asked again after this long. */
const RETRY_MS = 2_000;

/** Hands the newest checkpoint over to the places outside the database. */
export interface Delivery {
  /** What cannot be handed over is counted, logged once, and tried again later; it never throws. */
  deliver(newest: Newest): Promise<void>;
}

/** The newest checkpoint. */
export interface Newest {
  readonly size: number;
  readonly note: string;
}

interface Sink {
  readonly name: 'file' | 'url';
  readonly hand: (newest: Newest) => Promise<void>;
  delivered: number;
  failing: boolean;
  notBefore: number;
}

/**
 * Each instance keeps its own file complete, and posts what it finds to be newer than what it has posted: a receiver may
 * get a note from several instances. Only the newest is handed over; it vouches for everything before it.
 */
export function createDelivery(ctx: CheckpointContext): Delivery {
  const { AUDIT_CHECKPOINT_FILE: file, AUDIT_CHECKPOINT_URL: url } = ctx.config;
  const sinks: Sink[] = [];
  const add = (name: Sink['name'], hand: Sink['hand']) =>
    sinks.push({ name, hand, delivered: -1, failing: false, notBefore: 0 });
  if (file !== undefined) add('file', (newest) => toFile(ctx, file, newest));
  if (url !== undefined) add('url', (newest) => toUrl(url, newest));
  for (const sink of ['sign', ...sinks.map(({ name }) => name)])
    ctx.metrics.auditCheckpointFailures.inc({ sink }, 0);
  return {
    deliver: async (newest) => {
      await Promise.all(sinks.map((sink) => handOver(ctx, sink, newest)));
    },
  };
}

async function handOver({ log, metrics }: CheckpointContext, sink: Sink, newest: Newest): Promise<void> {
  if (sink.delivered === newest.size || performance.now() < sink.notBefore) return;
  try {
    await sink.hand(newest);
    sink.delivered = newest.size;
    if (sink.failing) log.info({ sink: sink.name }, 'checkpoints are handed over again');
    sink.failing = false;
  } catch (err) {
    sink.notBefore = performance.now() + RETRY_MS;
    metrics.auditCheckpointFailures.inc({ sink: sink.name });
    // Not the error's own text: it may hold the address, which may hold a secret.
    const cause = err instanceof Error ? ((err as NodeJS.ErrnoException).code ?? err.name) : 'unknown';
    if (!sink.failing) log.warn({ sink: sink.name, cause }, 'checkpoint cannot be handed over');
    sink.failing = true;
  }
}

async function toFile({ checkpointKey }: CheckpointContext, path: string, { note }: Newest): Promise<void> {
  // After a restart, or when instances share the file, it is there already.
  if ((await newestKept(path, checkpointKey))?.note !== note) await appendNote(path, note);
}

async function toUrl(url: string, { note }: Newest): Promise<void> {
  const answer = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'text/plain; charset=utf-8' },
    body: note,
    redirect: 'manual',
    signal: AbortSignal.timeout(POST_DEADLINE_MS),
  });
  await answer.body?.cancel();
  if (!answer.ok) throw new Error(`answered ${answer.status}`);
}
