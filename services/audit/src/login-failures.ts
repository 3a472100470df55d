import { Problem, routesOf, Time, Uuid } from '@gatehouse/kit';
import { sql } from 'kysely';
import Type from 'typebox';
import type { AuditContext } from './context.ts';
import { LOCKED_OUT, loginTypes } from './login-events.ts';
import { filtersOf, SearchQuery } from './search-filters.ts';
import { visibleTenant } from './visible-tenant.ts';

const { from, to } = SearchQuery.properties;
const DAY_MS = 86_400_000;
const QUERY_CANCELED = '57014';

const Query = Type.Object(
  { from, to, tenant_id: Type.Optional(Uuid) },
  { additionalProperties: false, description: 'The last 24 hours unless from says otherwise.' },
);

const Reason = Type.Object({
  reason: Type.String(),
  count: Type.Integer(),
  addresses: Type.Integer({
    description: 'Different addresses that they came from; erased ones do not count.',
  }),
  users: Type.Integer({
    description: 'Different users that they were meant for; unknown ones do not count.',
  }),
});

/**
 * Failed sign-ins by reason, the most frequent first (guide ID, "High authentication failure rate"). Many addresses
 * and users at once are somebody trying leaked passwords; one address is a broken client, or a clumsy attack.
 */
export const countLoginFailures = routesOf<AuditContext>()({
  method: 'GET',
  path: '/api/admin/login-events/failures',
  access: 'audit.read',
  summary: 'Failed sign-ins by reason, the most frequent first',
  query: Query,
  answer: Type.Object({
    from: Time,
    to: Time,
    total: Type.Integer(),
    items: Type.Array(Reason),
    next_cursor: Type.Null(),
  }),
  problems: ['unknown_tenant'],
  run:
    ({ db }) =>
    async ({ query, principal }) => {
      const { tenant_id: asked, ...moments } = query;
      const tenantId = visibleTenant(principal, asked);
      const given = filtersOf(moments, tenantId);
      const until = given.to ?? new Date().toISOString();
      const since = given.from ?? new Date(Date.parse(until) - DAY_MS).toISOString();
      const types = [loginTypes.failure, loginTypes.blocked];
      const { rows } = await sql<{ reason: string; count: number; addresses: number; users: number }>`
        select coalesce(case type when ${loginTypes.blocked} then ${LOCKED_OUT} else data->>'reason' end, 'unknown') as reason,
          count(*)::int as count, count(distinct client_ip)::int as addresses, count(distinct user_id)::int as users
        from event
        where type = any(${types}::text[]) and occurred_at >= ${since}::timestamptz and occurred_at < ${until}::timestamptz
          and recorded_at >= ${since}::timestamptz - interval '1 day'
          and (${tenantId ?? null}::uuid is null or tenant_id = ${tenantId ?? null}::uuid)
        group by 1 order by 2 desc, 1`
        .execute(db)
        .catch((error: unknown) => {
          if ((error as { code?: string }).code !== QUERY_CANCELED) throw error;
          throw new Problem('invalid_request', {
            detail: 'The count took too long: narrow it with from and to.',
          });
        });
      const total = rows.reduce((sum, { count }) => sum + count, 0);
      return { from: since, to: until, total, items: rows, next_cursor: null };
    },
});
