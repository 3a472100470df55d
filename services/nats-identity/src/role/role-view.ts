import { Problem, Time, tenantScope, Uuid } from '@gatehouse/kit';
import type { AccountKeyTable, AccountTable, NatsidDatabase } from '@gatehouse/schema';
import { type Kysely, type Selectable, sql } from 'kysely';
import Type, { type Static } from 'typebox';
import type { ChangeCall } from '../change.ts';
import type { NatsidTransaction } from '../context.ts';
import { lockAccount } from '../visible.ts';
import { readScope } from './scope.ts';

/** A role as answers show it. */
export const RoleView = Type.Object({
  id: Uuid,
  account_id: Uuid,
  name: Type.String(),
  public_key: Type.String({ description: 'Of the signing key that the role is.' }),
  description: Type.String(),
  template: Type.Record(Type.String(), Type.Unknown(), {
    description: 'Permissions and limits of its users; −1 is unlimited.',
  }),
  held: Type.Boolean({ description: 'Whether its seed is here; without it nothing is issued to its users.' }),
  users: Type.Integer(),
  revision: Type.Integer(),
  created_at: Time,
  updated_at: Time,
});
export type RoleView = Static<typeof RoleView>;

/** A signing key with a name. */
export type RoleRow = Selectable<AccountKeyTable> & {
  readonly role_name: string;
  readonly scope: NonNullable<Selectable<AccountKeyTable>['scope']>;
};

/** Roles with the number of their users. */
export const selectRoles = (db: Kysely<NatsidDatabase>) =>
  db
    .selectFrom('account_key as k')
    .innerJoin('account as a', 'a.id', 'k.account_id')
    .selectAll('k')
    .select(sql<number>`(select count(*)::int4 from nats_user u where u.role_id = k.id)`.as('users'))
    .where('k.role_name', 'is not', null);

/** A row of {@link selectRoles} as the API shows it. */
export function roleView(row: Selectable<AccountKeyTable> & { readonly users: number }): RoleView {
  const { name, description, template } = readScope(row.role_name ?? '', row.scope ?? {});
  return {
    id: row.id,
    account_id: row.account_id,
    name,
    public_key: row.public_key,
    description,
    template: { ...template },
    held: row.secret_id !== null,
    users: row.users,
    revision: row.revision,
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}

/** The role as it stands now. */
export async function readRole(tx: Kysely<NatsidDatabase>, id: string): Promise<RoleView> {
  return roleView(await selectRoles(tx).where('k.id', '=', id).executeTakeFirstOrThrow());
}

/**
 * Locks a role for a change, its account first: that is the order of everybody.
 * @throws Problem `not_found`, `account_not_active`
 */
export async function lockRole(
  tx: NatsidTransaction,
  principal: ChangeCall['principal'],
  id: string,
): Promise<{ readonly account: Selectable<AccountTable>; readonly role: RoleRow }> {
  const tenant = tenantScope(principal);
  const found = await tx
    .selectFrom('account_key as k')
    .innerJoin('account as a', 'a.id', 'k.account_id')
    .select('k.account_id')
    .where('k.id', '=', id.toLowerCase())
    .$if(tenant !== undefined, (some) => some.where('a.tenant_id', '=', tenant ?? ''))
    .executeTakeFirst();
  if (found === undefined) throw new Problem('not_found');
  const account = await lockAccount(tx, principal, found.account_id);
  const role = await tx
    .selectFrom('account_key')
    .selectAll()
    .where('id', '=', id.toLowerCase())
    .where('account_id', '=', account.id)
    .where('role_name', 'is not', null)
    .forUpdate()
    .executeTakeFirst();
  if (role === undefined) throw new Problem('not_found');
  return { account, role: role as RoleRow };
}
