import { Problem, Time } from '@gatehouse/kit';
import type { ClusterTable, NatsidDatabase } from '@gatehouse/schema';
import { type Kysely, type Selectable, sql } from 'kysely';
import Type, { type Static } from 'typebox';
import type { NatsIdentityContext, NatsidTransaction } from '../context.ts';

const nullable = <T extends Parameters<typeof Type.Union>[0][number]>(one: T) =>
  Type.Union([one, Type.Null()]);
const TimeOrNull = nullable(Time);

/** A cluster as answers show it. Its creds are never shown. */
export const ClusterView = Type.Object({
  id: Type.String(),
  operator_id: Type.String(),
  name: Type.String(),
  servers: Type.Array(Type.String()),
  credentials: Type.Union([Type.Literal('own'), Type.Literal('given')], {
    description: 'own: made on the fly with the system account’s key; given: creds that somebody sent.',
  }),
  description: Type.String(),
  own: Type.Boolean({ description: 'The platform’s own bus.' }),
  resolver: Type.Enum(['full', 'cache', 'memory', 'url', 'unknown']),
  healthy: Type.Boolean(),
  health: Type.Object({
    causes: Type.Array(Type.String(), { description: 'Why it is not healthy, in words.' }),
    warnings: Type.Array(Type.String(), { description: 'What will need somebody, and does not yet.' }),
    servers_known: Type.Integer(),
    servers_answering: Type.Integer(),
  }),
  checked_at: TimeOrNull,
  synced_at: TimeOrNull,
  accounts: Type.Record(Type.String(), Type.Integer(), {
    description:
      'Accounts by state: in_sync, pending, drifted, unreachable, operator_key_untrusted, refused.',
  }),
  foreign: Type.Integer({ description: 'Accounts on its servers that nobody here owns.' }),
  revision: Type.Integer(),
  created_at: Time,
  updated_at: Time,
});
export type ClusterView = Static<typeof ClusterView>;

/** What `cluster.health` holds. */
export interface ClusterHealth {
  readonly causes: readonly string[];
  readonly warnings: readonly string[];
  readonly servers_known: number;
  readonly servers_answering: number;
}

type Db = Pick<Kysely<NatsidDatabase>, 'selectFrom'>;

/** The views of clusters, with what is counted of each: two questions, however many clusters. */
export async function clusterViews(
  db: Db,
  rows: readonly Selectable<ClusterTable>[],
): Promise<ClusterView[]> {
  if (rows.length === 0) return [];
  const ids = rows.map(({ id }) => id);
  const synced = await db
    .selectFrom('account_sync')
    .select(['cluster_id', 'state', sql<number>`count(*)::int`.as('count')])
    .where('cluster_id', 'in', ids)
    .groupBy(['cluster_id', 'state'])
    .execute();
  const foreign = await db
    .selectFrom('foreign_account')
    .select(['cluster_id', sql<number>`count(*)::int`.as('count')])
    .where('cluster_id', 'in', ids)
    .groupBy('cluster_id')
    .execute();
  return rows.map((row) => ({
    id: row.id,
    operator_id: row.operator_id,
    name: row.name,
    servers: row.servers,
    credentials: row.secret_id === null ? 'own' : 'given',
    description: row.description,
    own: row.own,
    resolver: row.resolver,
    healthy: row.healthy,
    health: healthOf(row),
    checked_at: row.checked_at?.toISOString() ?? null,
    synced_at: row.synced_at?.toISOString() ?? null,
    accounts: Object.fromEntries(
      synced.filter(({ cluster_id }) => cluster_id === row.id).map(({ state, count }) => [state, count]),
    ),
    foreign: foreign.find(({ cluster_id }) => cluster_id === row.id)?.count ?? 0,
    revision: Number(row.revision),
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  }));
}

/** The view of one cluster. */
export async function clusterView(db: Db, row: Selectable<ClusterTable>): Promise<ClusterView> {
  const [view] = await clusterViews(db, [row]);
  if (view === undefined) throw new Error('a cluster without a view');
  return view;
}

/** What the last look found; of a cluster that nobody has looked at yet, nothing. */
export function healthOf({ health }: Pick<Selectable<ClusterTable>, 'health'>) {
  const { causes, warnings, servers_known, servers_answering } = health as Partial<ClusterHealth>;
  return {
    causes: [...(causes ?? ['nobody has looked at it yet'])],
    warnings: [...(warnings ?? [])],
    servers_known: servers_known ?? 0,
    servers_answering: servers_answering ?? 0,
  };
}

/** Locks a cluster for a change. @throws Problem `not_found` */
export async function lockCluster(tx: NatsidTransaction, id: string): Promise<Selectable<ClusterTable>> {
  const row = await tx
    .selectFrom('cluster')
    .selectAll()
    .where('id', '=', id.toLowerCase())
    .forUpdate()
    .executeTakeFirst();
  if (row === undefined) throw new Problem('not_found');
  return row;
}

/** Reads a cluster. @throws Problem `not_found` */
export async function readCluster(ctx: NatsIdentityContext, id: string): Promise<Selectable<ClusterTable>> {
  const row = await ctx.db
    .selectFrom('cluster')
    .selectAll()
    .where('id', '=', id.toLowerCase())
    .executeTakeFirst();
  if (row === undefined) throw new Problem('not_found');
  return row;
}
