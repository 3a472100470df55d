import { pageOf, pageQuery, routesOf, Time, Uuid } from '@gatehouse/kit';
import Type, { type Static } from 'typebox';
import type { AuditContext } from './context.ts';
import type { EventRow } from './event-item.ts';
import { type Filters, filtersOf, SearchQuery } from './search-filters.ts';
import { searchPage } from './search-page.ts';
import { visibleTenant } from './visible-tenant.ts';

const logins = ['success', 'failure', 'blocked'] as const;
type LoginOutcome = (typeof logins)[number];

/** The types of events that tell how a sign-in ended. */
export const loginTypes = Object.fromEntries(
  logins.map((outcome) => [outcome, `auth.login.${outcome}`]),
) as Record<LoginOutcome, string>;

const { from, to, client_ip } = SearchQuery.properties;
const nullable = Type.Union([Type.String(), Type.Null()]);
const outcomes = Type.Union([Type.Literal('success'), Type.Literal('failure'), Type.Literal('blocked')]);

/** Of which sign-ins. */
const Query = Type.Object(
  {
    ...{ from, to, client_ip },
    user_id: Type.Optional(Uuid),
    email: Type.Optional(
      Type.String({
        minLength: 3,
        maxLength: 320,
        description: 'As it was typed, but for case; also one that nobody has.',
      }),
    ),
    tenant_id: Type.Optional(Uuid),
    outcome: Type.Optional({ ...outcomes, description: 'blocked: refused because of a lockout.' }),
    ...pageQuery,
  },
  { additionalProperties: false },
);

const LoginEvent = Type.Object({
  id: Type.String(),
  occurred_at: Time,
  outcome: outcomes,
  reason: { ...nullable, description: 'Why it failed; the caller was not told.' },
  tenant_id: nullable,
  user_id: { ...nullable, description: 'null: the address is nobody’s.' },
  email: nullable,
  client_ip: nullable,
  user_agent: nullable,
  session_id: nullable,
  trace_id: nullable,
});

/** Sign-ins, newest first, as guide ID §4 shows them; read from the audit trail, so none is missing and none is made up. */
export const listLoginEvents = routesOf<AuditContext>()({
  method: 'GET',
  path: '/api/admin/login-events',
  access: 'audit.read',
  summary: 'Sign-ins: succeeded, failed and blocked, newest first',
  description: 'Personal fields that have been erased are null. `from` is inclusive, `to` is not.',
  query: Query,
  answer: pageOf(LoginEvent),
  problems: ['bad_cursor', 'unknown_tenant'],
  run:
    (ctx) =>
    async ({ query, principal }) => {
      const tenantId = visibleTenant(principal, query.tenant_id);
      const filters = loginFilters(query, tenantId);
      return searchPage(ctx, { list: 'audit.login-events', query, tenantId, filters, item: loginOf });
    },
});

function loginFilters(query: Static<typeof Query>, tenantId: string | undefined): Filters {
  const { outcome, email, ...others } = query;
  return {
    ...filtersOf(others, tenantId),
    types: outcome === undefined ? Object.values(loginTypes) : [loginTypes[outcome]],
    email: email?.trim().normalize('NFKC').toLowerCase(),
  };
}

const outcomeOf = new Map(Object.entries(loginTypes).map(([outcome, type]) => [type, outcome]));
const textOf = (value: unknown): string | null => (typeof value === 'string' ? value : null);

function loginOf(row: EventRow): Static<typeof LoginEvent> {
  const { personal, data } = row;
  return {
    id: row.id,
    occurred_at: row.occurred_at.toISOString(),
    outcome: outcomeOf.get(row.type) as LoginOutcome,
    reason: row.type === loginTypes.blocked ? LOCKED_OUT : textOf(data.reason),
    tenant_id: row.tenant_id,
    user_id: row.user_id,
    email: textOf(personal?.email),
    client_ip: row.client_ip,
    user_agent: textOf(personal?.user_agent),
    session_id: textOf(data.session_id),
    trace_id: row.trace_id,
  };
}

/** What stands for the reason of a sign-in that a lockout refused. */
export const LOCKED_OUT = 'locked_out';
