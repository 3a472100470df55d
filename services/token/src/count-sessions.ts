import { sql } from 'kysely';
import type { TokenJob } from './context.ts';

const TENANTS_SHOWN = 20;

/** Keeps `session_active{tenant}`: the largest tenants by id, the rest together, so that the label stays bounded. */
export const countSessions: TokenJob = {
  name: 'session-count',
  everySeconds: 60,
  instances: 'each',
  run: async (ctx) => {
    const { rows } = await sql<{ tenant: string; count: number }>`
      with counted as (
        select tenant_id, count(*) as count, row_number() over (order by count(*) desc, tenant_id) as place
        from session where revoked_at is null and expires_at > now() group by tenant_id
      )
      select case when place <= ${TENANTS_SHOWN} then tenant_id::text else 'other' end as tenant, sum(count)::int8 as count
      from counted group by 1`.execute(ctx.db);
    ctx.metrics.sessionActive.reset();
    for (const { tenant, count } of rows) ctx.metrics.sessionActive.set({ tenant }, count);
  },
};
