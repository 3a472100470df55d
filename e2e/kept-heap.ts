import { isMainThread } from 'node:worker_threads';

// Preloaded into a service (`--import`): its heap holds as much as the address of this module asks for (`?mib=`), as if
// the installation had so much to keep in memory. What the service itself needs is part of it.

const MIB = 2 ** 20;
const REFERENCE_BYTES = 8;
const BYTES = Number(new URL(import.meta.url).searchParams.get('mib')) * MIB;
const kept: unknown[][] = [];

function fill(): void {
  while (process.memoryUsage().heapUsed < BYTES) kept.push(Array(MIB / REFERENCE_BYTES).fill(null));
}

// Again and again: what is garbage now counts as taken, and is gone a moment later.
if (isMainThread) setInterval(fill, 50).unref();
