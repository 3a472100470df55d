import { Time } from '@gatehouse/kit';
import type { AccountTable, NatsidDatabase } from '@gatehouse/schema';
import { type Kysely, type Selectable, sql } from 'kysely';
import Type, { type Static } from 'typebox';
import { sizeWarnings } from '../account-jwt.ts';
import { ChangeView } from '../change.ts';
import { ShownClaims } from '../claim-check.ts';

const nullable = Type.Union([Type.String(), Type.Null()]);

/** The states of an account, as filters and answers name them. */
export const AccountStateName = Type.Union(
  [
    Type.Literal('active'),
    Type.Literal('locked'),
    Type.Literal('purging'),
    Type.Literal('deleting'),
    Type.Literal('deleted'),
  ],
  {
    description:
      'active, or how far its deletion is; locked also while its tenant is disabled; deleted: a tombstone that deletes it again.',
  },
);

/** An account as answers show it. */
export const AccountView = Type.Object({
  id: Type.String(),
  operator_id: Type.String(),
  tenant_id: nullable,
  name: Type.String(),
  public_key: Type.String(),
  kind: Type.Union([Type.Literal('account'), Type.Literal('system'), Type.Literal('platform')]),
  state: AccountStateName,
  state_detail: Type.Union([Type.String(), Type.Null()], {
    description: 'What the deletion waits for, or why it is locked.',
  }),
  claims: ShownClaims,
  expires_at: Type.Union([Time, Type.Null()]),
  signing_keys: Type.Array(
    Type.Object({ public_key: Type.String(), role_id: nullable, role: nullable, held: Type.Boolean() }),
  ),
  sync: Type.Array(
    Type.Object({
      cluster_id: Type.String(),
      cluster: Type.String(),
      state: Type.String(),
      proven_at: Type.Union([Time, Type.Null()]),
    }),
    { description: 'Per cluster: whether every server is proven to enforce what is wanted.' },
  ),
  warnings: Type.Array(Type.String()),
  revision: Type.Integer(),
  created_at: Time,
  updated_at: Time,
});
export type AccountView = Static<typeof AccountView>;

/** One account with its JWT. */
export const AccountDetail = Type.Object({
  ...AccountView.properties,
  jwt: Type.String({ description: 'Empty in the answer to a dry run.' }),
});
/** What a change of an account answers with. */
export const AccountChanged = Type.Object({ ...AccountDetail.properties, change: ChangeView });

const columns = [
  'id',
  'operator_id',
  'tenant_id',
  'name',
  'public_key',
  'kind',
  'claims',
  'expires_at',
  'state',
  'state_detail',
  'revision',
  'created_at',
  'updated_at',
] as const;

/** An account's row as views need it: of its JWT the size only. */
export type AccountRow = Pick<Selectable<AccountTable>, (typeof columns)[number]> & {
  readonly jwt_bytes: number;
};

/** What views are made of. */
export const selectAccounts = (db: Kysely<NatsidDatabase>) =>
  db
    .selectFrom('account as a')
    .select(columns.map((column) => `a.${column}` as const))
    .select(sql<number>`octet_length(a.jwt)`.as('jwt_bytes'));

/** Shows accounts with their keys and where they are proven: two queries, however many there are. */
export async function accountViews(
  db: Kysely<NatsidDatabase>,
  accounts: readonly AccountRow[],
): Promise<AccountView[]> {
  if (accounts.length === 0) return [];
  const ids = accounts.map(({ id }) => id);
  const keys = await db
    .selectFrom('account_key')
    .select(['id', 'account_id', 'public_key', 'role_name', 'secret_id'])
    .where('account_id', 'in', ids)
    .orderBy('created_at')
    .orderBy('id')
    .execute();
  const sync = await db
    .selectFrom('account_sync as s')
    .innerJoin('cluster as c', 'c.id', 's.cluster_id')
    .select(['s.account_id', 's.cluster_id', 'c.name as cluster', 's.state', 's.proven_at'])
    .where('s.account_id', 'in', ids)
    .orderBy('c.name')
    .execute();
  const keysOf = Map.groupBy(keys, ({ account_id }) => account_id);
  const syncOf = Map.groupBy(sync, ({ account_id }) => account_id);
  return accounts.map((account) => ({
    id: account.id,
    operator_id: account.operator_id,
    tenant_id: account.tenant_id,
    name: account.name,
    public_key: account.public_key,
    kind: account.kind,
    state: account.state,
    state_detail: account.state_detail,
    claims: { ...account.claims },
    expires_at: account.expires_at?.toISOString() ?? null,
    signing_keys: (keysOf.get(account.id) ?? []).map(({ id, public_key, role_name, secret_id }) => ({
      public_key,
      role_id: role_name === null ? null : id,
      role: role_name,
      held: secret_id !== null,
    })),
    sync: (syncOf.get(account.id) ?? []).map(({ cluster_id, cluster, state, proven_at }) => ({
      cluster_id,
      cluster,
      state,
      proven_at: proven_at?.toISOString() ?? null,
    })),
    warnings: sizeWarnings(account.jwt_bytes),
    revision: account.revision,
    created_at: account.created_at.toISOString(),
    updated_at: account.updated_at.toISOString(),
  }));
}

/** One account with its JWT; of a dry run without: nothing signed leaves that is not kept. */
export async function accountDetail(
  db: Kysely<NatsidDatabase>,
  account: Selectable<AccountTable>,
  { dryRun = false }: { readonly dryRun?: boolean } = {},
): Promise<Static<typeof AccountDetail>> {
  const [view] = await accountViews(db, [{ ...account, jwt_bytes: account.jwt.length }]);
  if (view === undefined) throw new Error('an account without a view');
  return { ...view, jwt: dryRun ? '' : account.jwt };
}
