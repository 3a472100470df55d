import { page, pageOf, pageQuery, readPage, tenantScope, Uuid } from '@gatehouse/kit';
import { sql } from 'kysely';
import Type from 'typebox';
import { route } from '../context.ts';
import {
  CredentialState,
  CredentialView,
  credentialView,
  selectCredentials,
  stateSql,
} from './credential-view.ts';

export const listCredentials = route({
  method: 'GET',
  path: '/api/nats/credentials',
  access: 'nats.read',
  summary: 'What was issued to NATS users, newest first',
  description:
    'The ledger: every JWT ever issued, until it has expired for long (NATS_LEDGER_DAYS). Never the JWT itself.',
  query: Type.Object(
    {
      ...pageQuery,
      account_id: Type.Optional(Uuid),
      user_id: Type.Optional(Uuid),
      state: Type.Optional(CredentialState),
    },
    { additionalProperties: false },
  ),
  answer: pageOf(CredentialView),
  problems: ['bad_cursor'],
  run:
    (ctx) =>
    async ({ principal, query }) => {
      const tenantId = tenantScope(principal);
      const accountId = query.account_id?.toLowerCase();
      const userId = query.user_id?.toLowerCase();
      const { state } = query;
      const binding = { list: 'natsid.credentials', tenantId, filters: { accountId, userId, state } };
      const request = readPage(ctx.secrets.cursorKey, query, binding);
      const rows = await selectCredentials(ctx.db)
        .$if(tenantId !== undefined, (some) => some.where('a.tenant_id', '=', tenantId ?? ''))
        .$if(accountId !== undefined, (some) => some.where('c.account_id', '=', accountId ?? ''))
        .$if(userId !== undefined, (some) => some.where('c.user_id', '=', userId ?? ''))
        .$if(state !== undefined, (some) => some.where(stateSql, '=', state ?? 'active'))
        .$if(request.after !== undefined, (some) =>
          some.where(sql<boolean>`c.id < ${request.after?.[0]}::uuid`),
        )
        .orderBy('c.id', 'desc')
        .limit(request.limit + 1)
        .execute();
      return page(ctx.secrets.cursorKey, rows, {
        ...request,
        binding,
        position: (row) => [row.id],
        item: credentialView,
      });
    },
});
