import { probe, type questions } from '@gatehouse/kit';
import { sql } from 'kysely';
import type { NatsIdentityContext } from '../context.ts';

/**
 * The line `nats_clusters` of the health report. An ill cluster degrades the platform; it never makes it unready. One that
 * nobody has looked at yet is not ill.
 */
export async function clustersComponent({ db }: NatsIdentityContext): Promise<questions.Component> {
  const { latency_ms, status, details } = await probe('nats_clusters', () =>
    db
      .selectFrom('cluster')
      .select([
        sql<number>`count(*)::int`.as('total'),
        sql<number>`(count(*) filter (where healthy or checked_at is null))::int`.as('healthy'),
      ])
      .executeTakeFirstOrThrow(),
  );
  const well = status === 'healthy' && details.healthy === details.total;
  return { name: 'nats_clusters', status: well ? 'healthy' : 'degraded', latency_ms, details };
}
