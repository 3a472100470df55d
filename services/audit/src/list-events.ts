import { type Call, Problem, page, pageOf, pageQuery, readPage, routesOf, Uuid } from '@gatehouse/kit';
import type { AuditDatabase } from '@gatehouse/schema';
import { type SelectQueryBuilder, sql } from 'kysely';
import Type, { type Static } from 'typebox';
import type { AuditContext } from './context.ts';
import { EventItem, type EventRow, itemOf } from './event-item.ts';
import { visibleTenant } from './visible-tenant.ts';

const rfc3339 = '^\\d{4}-\\d\\d-\\d\\d[Tt]\\d\\d:\\d\\d:\\d\\d(?:\\.\\d{1,9})?(?:[Zz]|[+-]\\d\\d:\\d\\d)$';
const Moment = (description: string) => Type.Optional(Type.String({ pattern: rfc3339, description }));

const Query = Type.Object(
  {
    from: Moment('Not before this time (RFC 3339).'),
    to: Moment('Before this time (RFC 3339).'),
    type: Type.Optional(
      Type.String({
        maxLength: 100,
        pattern: '^[a-z0-9_]+(?:\\.[a-z0-9_]+)*(?:\\.\\*)?$',
        description: 'A type, or all below a word: auth.login.*',
      }),
    ),
    tenant_id: Type.Optional(Uuid),
    user_id: Type.Optional(Uuid),
    ...pageQuery,
  },
  // A misspelt filter that is ignored would show what was not asked for.
  { additionalProperties: false },
);

/** The filters as they go into the query and, unchanged, into the cursor's signature. */
interface Filters {
  readonly [name: string]: string | undefined;
  readonly from: string | undefined;
  readonly to: string | undefined;
  readonly type: string | undefined;
  readonly user_id: string | undefined;
}

/** The audit trail, newest first. An administrator sees the own tenant, a platform administrator everything. */
export const listEvents = routesOf<AuditContext>()({
  method: 'GET',
  path: '/api/audit/events',
  access: 'audit.read',
  summary: 'The audit trail, newest first',
  description:
    'Administrators see the events of their own tenant, platform administrators all of them. `from` is inclusive, `to` is not.',
  query: Query,
  answer: pageOf(EventItem),
  problems: ['bad_cursor', 'unknown_tenant'],
  run:
    ({ db, secrets }) =>
    async ({ query, principal }) => {
      const tenantId = visibleTenant(principal, query.tenant_id);
      const filters = filtersOf(query);
      const binding = { list: 'audit.events', tenantId, filters };
      const request = readPage(secrets.cursorKey, query, binding);
      const rows = await search(
        select(db.selectFrom('event').selectAll(), tenantId, filters)
          .$if(request.after !== undefined, (events) =>
            events.where(
              sql<boolean>`(occurred_at, id) < (${request.after?.[0]}::timestamptz, ${request.after?.[1]}::uuid)`,
            ),
          )
          .limit(request.limit + 1),
      );
      return page(secrets.cursorKey, rows, {
        ...request,
        binding,
        position: (row) => [row.occurred_at.toISOString(), row.id],
        item: itemOf,
      });
    },
});

function filtersOf(query: Call<unknown, Static<typeof Query>>['query']): Filters {
  return {
    from: momentOf('from', query.from),
    to: momentOf('to', query.to),
    type: query.type,
    user_id: query.user_id?.toLowerCase(),
  };
}

// The pattern admits a 31st of February and a 25th hour.
function momentOf(name: string, text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const time = new Date(text);
  if (Number.isNaN(time.getTime()))
    throw new Problem('invalid_request', { detail: `${name} is not a time of RFC 3339.` });
  return time.toISOString();
}

type Events = SelectQueryBuilder<AuditDatabase, 'event', EventRow>;

// Every order below is one of the table's indexes read backwards: a page costs what it shows, however long the trail.
function select(events: Events, tenantId: string | undefined, filters: Filters): Events {
  const { from, to, type, user_id: userId } = filters;
  let query = events.orderBy('occurred_at', 'desc').orderBy('id', 'desc');
  if (tenantId !== undefined) query = query.where('tenant_id', '=', tenantId);
  if (userId !== undefined) query = query.where('user_id', '=', userId);
  if (from !== undefined) query = query.where('occurred_at', '>=', new Date(from));
  if (to !== undefined) query = query.where('occurred_at', '<', new Date(to));
  if (type === undefined) return query;
  return type.endsWith('.*')
    ? query.where(sql<boolean>`starts_with(type, ${type.slice(0, -1)})`)
    : query.where('type', '=', type);
}

const QUERY_CANCELED = '57014';

// A rare type in a long trail: what the database gave up on after its time limit is a question to narrow, not a fault.
async function search(events: Events): Promise<EventRow[]> {
  try {
    return await events.execute();
  } catch (error) {
    if ((error as { code?: string }).code !== QUERY_CANCELED) throw error;
    throw new Problem('invalid_request', {
      detail: 'The search took too long: narrow it with from and to.',
    });
  }
}
