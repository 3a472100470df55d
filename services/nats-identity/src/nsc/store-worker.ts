import { parentPort, workerData } from 'node:worker_threads';
import { type NscExport, type NscFile, readNscStore, wipeSeeds, writeNscStore } from '@gatehouse/nats-claims';

// The thread of store-thread.ts: one task, then its end. Structured clones make Uint8Arrays of Buffers.
const { read, write } = workerData as { read?: NscFile[]; write?: NscExport };
if (read) {
  const store = readNscStore(read);
  parentPort?.postMessage(store);
  wipeSeeds(store);
} else if (write) {
  const seeds = write.seeds?.map((seed) => Buffer.from(seed.buffer, seed.byteOffset, seed.byteLength));
  parentPort?.postMessage(writeNscStore({ ...write, seeds }));
  for (const seed of seeds ?? []) seed.fill(0);
}
