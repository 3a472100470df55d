import { constants, PerformanceObserver } from 'node:perf_hooks';
import { expect, it } from 'vitest';
import { collectAfterStart } from './startup-heap.ts';
import { eventually } from './testing.ts';

it('the whole heap is collected after the start, again for what only that set free, and nobody else gets at the collector', async () => {
  let whole = 0;
  const observer = new PerformanceObserver((list) => {
    for (const { detail } of list.getEntries() as unknown as { detail: { kind: number } }[])
      if (detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR) whole += 1;
  });
  observer.observe({ type: 'gc' });
  collectAfterStart();
  await eventually(() => expect(whole).toBeGreaterThan(1));
  observer.disconnect();
  expect('gc' in globalThis).toBe(false);
});
