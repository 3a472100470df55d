import { setImmediate as turn } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { NscExport, NscFile, NscOutputFile, NscStore } from '@gatehouse/nats-claims';

/**
 * Reads a store on a thread of its own: each JWT is a signature to verify, each seed a key to derive, and a store of ten
 * thousand users would hold up everybody for seconds.
 */
export async function readStore(files: readonly NscFile[]): Promise<NscStore> {
  const store = await onThread<NscStore>({ read: files });
  const seeds = [...store.seeds].map(
    ([key, { buffer, byteOffset, byteLength }]) =>
      [key, Buffer.from(buffer, byteOffset, byteLength)] as const,
  );
  return { ...store, seeds: new Map(seeds) };
}

/** Writes a store on a thread of its own. */
export const writeStore = (store: NscExport): Promise<NscOutputFile[]> => onThread({ write: store });

function onThread<T>(task: { read: readonly NscFile[] } | { write: NscExport }): Promise<T> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(new URL('./store-worker.ts', import.meta.url), {
      workerData: task,
      execArgv: [],
    });
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', (code) => reject(new Error(`the thread of an nsc store ended with ${code}`)));
  });
}

const AT_ONCE = 50;

/** Does something for each, and lets others have their turn after every few. */
export async function forEach<T>(items: readonly T[], work: (item: T) => void): Promise<void> {
  for (const [at, item] of items.entries()) {
    if (at % AT_ONCE === AT_ONCE - 1) await turn();
    work(item);
  }
}
