import { type Principal, Problem, Time, tenantScope, Uuid } from '@gatehouse/kit';
import type { AuthDatabase } from '@gatehouse/schema';
import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import Type, { type Static } from 'typebox';
import { RoleName, StatusName } from './account.ts';
import type { AuthContext } from './context.ts';

export const UserParams = Type.Object({ id: Uuid });

/** A user as administrators see it. */
export const UserView = Type.Object({
  user_id: Type.String(),
  tenant_id: Type.String(),
  email: Type.String(),
  name: Type.Union([Type.String(), Type.Null()]),
  role: RoleName,
  status: StatusName,
  locked_until: Type.Union([Time, Type.Null()], {
    description: 'End of the lockout after failed sign-ins; null when there is none.',
  }),
  created_at: Time,
  updated_at: Time,
});
export type UserView = Static<typeof UserView>;

/** Users with their lockouts, as rows of {@link userView}. */
export function selectUsers(db: Kysely<AuthDatabase>) {
  return db
    .selectFrom('user_account as u')
    .leftJoin('lockout as l', (join) =>
      join
        .onRef('l.tenant_id', '=', 'u.tenant_id')
        .on('l.identity', '=', sql<Buffer>`sha256(convert_to(u.email, 'UTF8'))`)
        .on('l.locked_until', '>', sql<Date>`now()`),
    )
    .select([
      'u.id',
      'u.tenant_id',
      'u.email',
      'u.name',
      'u.role',
      'u.status',
      'u.created_at',
      'u.updated_at',
      'l.locked_until',
    ]);
}

type UserRow = Awaited<ReturnType<ReturnType<typeof selectUsers>['executeTakeFirstOrThrow']>>;

export const userView = (row: UserRow): UserView => ({
  user_id: row.id,
  tenant_id: row.tenant_id,
  email: row.email,
  name: row.name,
  role: row.role,
  status: row.status,
  locked_until: row.locked_until?.toISOString() ?? null,
  created_at: row.created_at.toISOString(),
  updated_at: row.updated_at.toISOString(),
});

/** @throws Problem `not_found`, also for users of a tenant that the principal may not see. */
export async function readUser(ctx: AuthContext, principal: Principal, id: string): Promise<UserView> {
  const tenant = tenantScope(principal);
  const row = await selectUsers(ctx.db)
    .where('u.id', '=', id)
    .$if(tenant !== undefined, (query) => query.where('u.tenant_id', '=', tenant ?? ''))
    .executeTakeFirst();
  if (row === undefined) throw new Problem('not_found');
  return userView(row);
}
