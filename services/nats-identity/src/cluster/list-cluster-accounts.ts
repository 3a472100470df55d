import { page, pageOf, pageQuery, readPage, Time, Uuid } from '@gatehouse/kit';
import { sql } from 'kysely';
import Type from 'typebox';
import { route } from '../context.ts';
import { readCluster } from './cluster-view.ts';

const State = Type.Enum([
  'pending',
  'in_sync',
  'drifted',
  'unreachable',
  'operator_key_untrusted',
  'refused',
]);

const View = Type.Object({
  account_id: Type.String(),
  name: Type.String(),
  public_key: Type.String(),
  account_state: Type.String(),
  state: State,
  wanted: Type.Integer({ description: 'Grows with every change of what the servers shall hold.' }),
  proven: Type.Integer({ description: 'The last `wanted` that was read back from every server.' }),
  servers: Type.Record(Type.String(), Type.Unknown(), {
    description: 'What each server stores and enforces.',
  }),
  attempts: Type.Integer(),
  error: Type.Union([Type.String(), Type.Null()]),
  next_at: Time,
  proven_at: Type.Union([Time, Type.Null()]),
});

export const listClusterAccounts = route({
  method: 'GET',
  path: '/api/nats/clusters/:id/accounts',
  access: 'platform.read',
  summary: 'What each account shall be on a cluster, and what was proven on its servers',
  params: Type.Object({ id: Uuid }),
  query: Type.Object(
    {
      ...pageQuery,
      state: Type.Optional(State),
      q: Type.Optional(
        Type.String({ maxLength: 128, description: 'Part of the name, or beginning of the public key.' }),
      ),
    },
    { additionalProperties: false },
  ),
  answer: pageOf(View),
  problems: ['bad_cursor', 'not_found'],
  run:
    (ctx) =>
    async ({ params, query }) => {
      const cluster = await readCluster(ctx, params.id);
      const q = query.q?.trim().toLowerCase() || undefined;
      const { state } = query;
      const binding = {
        list: 'natsid.cluster_accounts',
        tenantId: undefined,
        filters: { cluster: cluster.id, state, q },
      };
      const request = readPage(ctx.secrets.cursorKey, query, binding);
      const rows = await ctx.db
        .selectFrom('account_sync as s')
        .innerJoin('account as a', 'a.id', 's.account_id')
        .select(['a.id', 'a.name', 'a.public_key', 'a.state as account_state', 's.state', 's.wanted'])
        .select(['s.proven', 's.servers', 's.attempts', 's.error', 's.next_at', 's.proven_at'])
        .select(sql<string>`a.created_at::text`.as('position'))
        .where('s.cluster_id', '=', cluster.id)
        .$if(state !== undefined, (some) => some.where('s.state', '=', state ?? 'pending'))
        .$if(q !== undefined, (some) =>
          some.where(
            sql<boolean>`(strpos(lower(a.name), ${q}) > 0 or starts_with(lower(a.public_key), ${q}))`,
          ),
        )
        .$if(request.after !== undefined, (some) =>
          some.where(
            sql<boolean>`(a.created_at, a.id) < (${request.after?.[0]}::timestamptz, ${request.after?.[1]}::uuid)`,
          ),
        )
        .orderBy('a.created_at', 'desc')
        .orderBy('a.id', 'desc')
        .limit(request.limit + 1)
        .execute();
      return page(ctx.secrets.cursorKey, rows, {
        ...request,
        binding,
        position: (row) => [row.position, row.id],
        item: ({ id, position: _, ...row }) => ({
          ...row,
          account_id: id,
          wanted: Number(row.wanted),
          proven: Number(row.proven),
          next_at: row.next_at.toISOString(),
          proven_at: row.proven_at?.toISOString() ?? null,
        }),
      });
    },
});
