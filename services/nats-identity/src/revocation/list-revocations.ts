import { page, pageOf, pageQuery, readPage, Time, Uuid } from '@gatehouse/kit';
import type { RevocationTable } from '@gatehouse/schema';
import { type Selectable, sql } from 'kysely';
import Type from 'typebox';
import { route } from '../context.ts';
import { readAccount } from '../visible.ts';

/** A revocation as answers show it. */
export const RevocationView = Type.Object({
  account_id: Uuid,
  public_key: Type.String({ description: 'Of a user; `*`: everybody in the account.' }),
  before: Time,
  until: Type.Union([Time, Type.Null()], {
    description: 'When all that it kills has expired, and it goes by itself; null: it stays.',
  }),
  reason: Type.Union([Type.String(), Type.Null()]),
  created_at: Time,
});

export const revocationView = (row: Selectable<RevocationTable>) => ({
  account_id: row.account_id,
  public_key: row.public_key,
  before: new Date(row.before * 1000).toISOString(),
  until: row.until?.toISOString() ?? null,
  reason: row.reason,
  created_at: row.created_at.toISOString(),
});

export const listRevocations = route({
  method: 'GET',
  path: '/api/nats/accounts/:id/revocations',
  access: 'nats.read',
  summary: 'What is revoked in an account, newest first',
  params: Type.Object({ id: Uuid }),
  query: Type.Object(pageQuery, { additionalProperties: false }),
  answer: pageOf(RevocationView),
  problems: ['not_found', 'bad_cursor'],
  run:
    (ctx) =>
    async ({ params, principal, query }) => {
      const account = await readAccount(ctx, principal, params.id);
      const binding = { list: 'natsid.revocations', filters: { accountId: account.id } };
      const request = readPage(ctx.secrets.cursorKey, query, binding);
      const rows = await ctx.db
        .selectFrom('revocation')
        .selectAll()
        // As text: a Date has milliseconds, the column microseconds, and a cursor must not skip what lies between.
        .select(sql<string>`created_at::text`.as('position'))
        .where('account_id', '=', account.id)
        .$if(request.after !== undefined, (some) =>
          some.where(
            sql<boolean>`(created_at, public_key) < (${request.after?.[0]}::timestamptz, ${request.after?.[1]}::text)`,
          ),
        )
        .orderBy('created_at', 'desc')
        .orderBy('public_key', 'desc')
        .limit(request.limit + 1)
        .execute();
      return page(ctx.secrets.cursorKey, rows, {
        ...request,
        binding,
        position: (row) => [row.position, row.public_key],
        item: revocationView,
      });
    },
});
