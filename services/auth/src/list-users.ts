import { Problem, page, pageOf, pageQuery, readPage, tenantScope, Uuid } from '@gatehouse/kit';
import type { Role } from '@gatehouse/schema';
import { sql } from 'kysely';
import Type, { type Static } from 'typebox';
import { RoleName, StatusName } from './account.ts';
import { type AuthContext, route } from './context.ts';
import { canonicalEmail } from './email.ts';
import { EmailText } from './identity.ts';
import { beginsWith, SearchText } from './search-text.ts';
import { selectUsers, UserView, userView } from './user-view.ts';

const Query = Type.Object(
  {
    ...pageQuery,
    q: SearchText('Beginning of the e-mail address or of the name, upper and lower case alike.'),
    email: Type.Optional(EmailText),
    status: Type.Optional(StatusName),
    role: Type.Optional(RoleName),
    tenant_id: Type.Optional(Uuid),
  },
  { additionalProperties: false },
);

export const listUsers = route({
  method: 'GET',
  path: '/api/admin/users',
  access: 'users.read',
  summary: 'Users, newest first',
  description: 'Of the own tenant; a PLATFORM_ADMIN sees all of them.',
  query: Query,
  answer: pageOf(UserView),
  problems: ['bad_cursor', 'invalid_email', 'not_found'],
  run:
    (ctx) =>
    async ({ principal, query }) => {
      const own = tenantScope(principal);
      const asked = query.tenant_id?.toLowerCase();
      if (own !== undefined && asked !== undefined && asked !== own) throw new Problem('not_found');
      const tenantId = asked ?? own;
      const { q, status, role } = query;
      const email = query.email === undefined ? undefined : canonicalOf(query.email);

      const binding = { list: 'auth.users', tenantId, filters: { q, email, status, role } };
      const request = readPage(ctx.secrets.cursorKey, query, binding);
      const rows = await find(ctx, { tenantId, q, email, status, role })
        // As text: a Date has milliseconds, the column microseconds, and a cursor must not skip what lies between.
        .select(sql<string>`u.created_at::text`.as('position'))
        .$if(request.after !== undefined, (some) =>
          some.where(
            sql<boolean>`(u.created_at, u.id) < (${request.after?.[0]}::timestamptz, ${request.after?.[1]}::uuid)`,
          ),
        )
        .orderBy('u.created_at', 'desc')
        .orderBy('u.id', 'desc')
        .limit(request.limit + 1)
        .execute();
      return page(ctx.secrets.cursorKey, rows, {
        ...request,
        binding,
        position: (row) => [row.position, row.id],
        item: userView,
      });
    },
});

interface Filters {
  readonly tenantId: string | undefined;
  readonly q: string | undefined;
  /** Canonical. */
  readonly email: string | undefined;
  readonly status: Static<typeof StatusName> | undefined;
  readonly role: Role | undefined;
}

function find(ctx: AuthContext, { tenantId = '', email = '', q = '', status, role }: Filters) {
  const pattern = beginsWith(q);
  return selectUsers(ctx)
    .$if(tenantId !== '', (some) => some.where('u.tenant_id', '=', tenantId))
    .$if(email !== '', (some) => some.where('u.email', '=', email))
    .$if(q !== '', (some) =>
      some.where(sql<boolean>`(u.email like ${pattern} or lower(u.name) like ${pattern})`),
    )
    .$if(status !== undefined, (some) => some.where('u.status', '=', status ?? 'active'))
    .$if(role !== undefined, (some) => some.where('u.role', '=', role ?? 'USER'));
}

function canonicalOf(input: string): string {
  const canonical = canonicalEmail(input);
  if (canonical.outcome === 'refused')
    throw new Problem('invalid_email', { detail: `The e-mail address is not valid: ${canonical.reason}.` });
  return canonical.email;
}
