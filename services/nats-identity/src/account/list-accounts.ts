import { Problem, page, pageOf, pageQuery, readPage, tenantScope, Uuid } from '@gatehouse/kit';
import type { AccountState, NatsidDatabase } from '@gatehouse/schema';
import { type Kysely, sql } from 'kysely';
import Type from 'typebox';
import { route } from '../context.ts';
import { TagText } from '../name.ts';
import { namedLike, searchQuery } from '../search.ts';
import { tagged } from '../tag.ts';
import { AccountStateName, AccountView, accountViews, selectAccounts } from './account-view.ts';

const Query = Type.Object(
  {
    ...pageQuery,
    ...searchQuery,
    operator_id: Type.Optional(Uuid),
    tenant_id: Type.Optional(Uuid),
    tag: Type.Optional(TagText),
    state: Type.Optional(AccountStateName),
  },
  { additionalProperties: false },
);

/** Which accounts are listed. */
export interface AccountFilters {
  /** The tenant that whoever asks is confined to. */
  readonly own?: string | undefined;
  readonly tenantId?: string | undefined;
  readonly operatorId?: string | undefined;
  readonly q?: string | undefined;
  readonly tag?: string | undefined;
  readonly state?: AccountState | undefined;
}

/** One page: read from an index in its order, so that its price does not grow with the accounts there are. */
export const pageOfAccounts = (
  db: Kysely<NatsidDatabase>,
  { own, tenantId, operatorId, q, tag, state }: AccountFilters,
  { after, limit }: Pick<ReturnType<typeof readPage>, 'after' | 'limit'>,
) =>
  selectAccounts(db)
    // As text: a Date has milliseconds, the column microseconds, and a cursor must not skip what lies between.
    .select(sql<string>`a.created_at::text`.as('position'))
    .$if(state === undefined, (some) => some.where('a.state', '<>', 'deleted'))
    .$if(state !== undefined, (some) => some.where('a.state', '=', state ?? 'active'))
    .$if(tenantId !== undefined, (some) => some.where('a.tenant_id', '=', tenantId ?? ''))
    .$if(own !== undefined, (some) => some.where('a.tenant_id', '=', own ?? ''))
    .$if(operatorId !== undefined, (some) => some.where('a.operator_id', '=', operatorId ?? ''))
    .$if(q !== undefined, (some) => some.where(namedLike('a.name', 'a.public_key', q ?? '')))
    .$if(tag !== undefined, (some) => some.where(tagged('a.claims', tag ?? '')))
    .$if(after !== undefined, (some) =>
      some.where(sql<boolean>`(a.created_at, a.id) < (${after?.[0]}::timestamptz, ${after?.[1]}::uuid)`),
    )
    .orderBy('a.created_at', 'desc')
    .orderBy('a.id', 'desc')
    .limit(limit + 1);

export const listAccounts = route({
  method: 'GET',
  path: '/api/nats/accounts',
  access: 'nats.read',
  summary: 'Accounts, newest first',
  description:
    'An ADMIN sees those of the own tenant. Tombstones of deleted accounts are shown when `state` asks for them.',
  query: Query,
  answer: pageOf(AccountView),
  problems: ['bad_cursor', 'not_found'],
  run:
    (ctx) =>
    async ({ principal, query }) => {
      const own = tenantScope(principal);
      const asked = query.tenant_id?.toLowerCase();
      if (own !== undefined && asked !== undefined && asked !== own) throw new Problem('not_found');
      const operatorId = query.operator_id?.toLowerCase();
      const { q, tag, state } = query;
      const binding = {
        list: 'natsid.accounts',
        tenantId: own,
        filters: { tenantId: asked, operatorId, q, tag, state },
      };
      const request = readPage(ctx.secrets.cursorKey, query, binding);
      const filters = { own, tenantId: asked, operatorId, q, tag, state };
      const rows = await pageOfAccounts(ctx.db, filters, request).execute();
      const shown = page(ctx.secrets.cursorKey, rows, {
        ...request,
        binding,
        position: (row) => [row.position, row.id],
        item: (row) => row,
      });
      return { ...shown, items: await accountViews(ctx.db, shown.items) };
    },
});
