import { createRequire } from 'node:module';
import { availableParallelism, totalmem } from 'node:os';
import { getHeapStatistics } from 'node:v8';
import type { Metrics } from './metrics.ts';
import type { ServiceName } from './service.ts';

const { version }: { version: string } = createRequire(import.meta.url)('../package.json');

/** What does not change while the process lives: which release it is, and what it may use. */
export function describeProcess(metrics: Metrics, services: readonly ServiceName[]): void {
  for (const service of services) metrics.buildInfo.set({ service, version }, 1);
  // Without a control group's limit Node names a number beyond all memory, or 0.
  const limit = process.constrainedMemory();
  metrics.memoryLimit.set(limit > 0 ? Math.min(limit, totalmem()) : totalmem());
  metrics.heapLimit.set(getHeapStatistics().heap_size_limit);
  metrics.processors.set(availableParallelism());
}
