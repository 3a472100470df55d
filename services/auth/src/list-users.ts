import { Problem, page, pageOf, pageQuery, readPage, tenantScope, Uuid } from '@gatehouse/kit';
import { sql } from 'kysely';
import Type from 'typebox';
import { route } from './context.ts';
import { canonicalEmail } from './email.ts';
import { EmailText } from './identity.ts';
import { selectUsers, UserView, userView } from './user-view.ts';

const Query = Type.Object(
  { ...pageQuery, email: Type.Optional(EmailText), tenant_id: Type.Optional(Uuid) },
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
      const email = query.email === undefined ? undefined : canonicalOf(query.email);

      const binding = { list: 'auth.users', tenantId, filters: { email } };
      const request = readPage(ctx.secrets.cursorKey, query, binding);
      const rows = await selectUsers(ctx.db)
        // As text: a Date has milliseconds, the column microseconds, and a cursor must not skip what lies between.
        .select(sql<string>`u.created_at::text`.as('position'))
        .$if(tenantId !== undefined, (some) => some.where('u.tenant_id', '=', tenantId ?? ''))
        .$if(email !== undefined, (some) => some.where('u.email', '=', email ?? ''))
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

function canonicalOf(input: string): string {
  const canonical = canonicalEmail(input);
  if (canonical.outcome === 'refused')
    throw new Problem('invalid_email', { detail: `The e-mail address is not valid: ${canonical.reason}.` });
  return canonical.email;
}
