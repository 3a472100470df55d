import type { Pool } from 'pg';
import type { Bus } from './bus.ts';
import type { Component } from './questions.ts';

/** Times a probe; a throw or a timeout is `unhealthy` with the reason's name, never its text. */
export async function probe(
  name: string,
  work: () => Promise<Record<string, unknown>>,
  deadlineMs = 2000,
): Promise<Component> {
  const begun = performance.now();
  const took = () => Math.round((performance.now() - begun) * 10) / 10;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('timeout')), deadlineMs);
  });
  try {
    const details = await Promise.race([work(), late]);
    return { name, status: 'healthy', latency_ms: took(), details };
  } catch (error) {
    const reason = error instanceof Error && error.message === 'timeout' ? 'timeout' : 'unreachable';
    return { name, status: 'unhealthy', latency_ms: took(), details: { reason } };
  } finally {
    clearTimeout(timer);
  }
}

/** Whether Postgres answers. */
export function probeDatabase(pool: Pool): Promise<Component> {
  return probe('database', async () => {
    await pool.query('select 1');
    return { connections: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount };
  });
}

/** Whether NATS answers. */
export function probeBus(bus: Bus): Promise<Component> {
  return probe('nats', async () => {
    await bus.ping();
    return {};
  });
}
