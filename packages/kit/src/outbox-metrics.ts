import type { Pool } from 'pg';
import type { Metrics } from './metrics.ts';

// Ids are UUID v7: the first by id is the oldest, without reading the rows in between.
const query = {
  name: 'outbox_observe',
  text: `select (select count(*) from outbox where published_at is null)::int as depth,
    (select count(*) from outbox where published_at is not null)::int as unconfirmed,
    greatest(0, extract(epoch from now() - least(
      (select occurred_at from outbox where published_at is null and lane = 0 order by id limit 1),
      (select occurred_at from outbox where published_at is null and lane = 1 order by id limit 1))))::float as oldest`,
  values: [],
};

/** Sets the gauges of a service's outbox. */
export async function observeOutbox(pool: Pool, metrics: Metrics, service: string): Promise<void> {
  const { rows } = await pool.query<{ depth: number; unconfirmed: number; oldest: number | null }>(query);
  const { depth = 0, unconfirmed = 0, oldest = null } = rows[0] ?? {};
  metrics.outboxDepth.set({ service }, depth);
  metrics.outboxUnconfirmed.set({ service }, unconfirmed);
  metrics.outboxOldest.set({ service }, oldest ?? 0);
}
