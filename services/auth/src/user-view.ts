import { type Principal, Problem, Time, tenantScope, Uuid } from '@gatehouse/kit';
import type { AccountStatus } from '@gatehouse/schema';
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
  failed_sign_ins: Type.Integer({
    description: 'Counted towards a lockout now; AUTH_LOGIN_MAX_ATTEMPTS lock the address.',
  }),
  locked_until: Type.Union([Time, Type.Null()], {
    description: 'End of the lockout after failed sign-ins; null when there is none.',
  }),
  password_changed_at: Time,
  created_at: Time,
  updated_at: Time,
});
export type UserView = Static<typeof UserView>;

/** Users with their lockouts, as rows of {@link userView}; never the deleted ones. */
export function selectUsers({ db, config }: AuthContext) {
  const window = sql`make_interval(mins => ${config.AUTH_LOGIN_ATTEMPT_WINDOW_MINUTES})`;
  return db
    .selectFrom('user_account as u')
    .leftJoin('lockout as l', (join) =>
      join
        .onRef('l.tenant_id', '=', 'u.tenant_id')
        .on('l.identity', '=', sql<Buffer>`sha256(convert_to(u.email, 'UTF8'))`)
        // One that is over counts no more: the next failure begins anew (lockout.ts).
        .on(
          sql<boolean>`(l.locked_until > now() or l.locked_until is null and l.window_started_at > now() - ${window})`,
        ),
    )
    .where('u.status', '<>', 'deleted')
    .select([
      'u.id',
      'u.tenant_id',
      'u.email',
      'u.name',
      'u.role',
      'u.status',
      'u.password_changed_at',
      'u.created_at',
      'u.updated_at',
      'l.failures',
      'l.locked_until',
    ])
    .$narrowType<{ status: Exclude<AccountStatus, 'deleted'> }>();
}

type UserRow = Awaited<ReturnType<ReturnType<typeof selectUsers>['executeTakeFirstOrThrow']>>;

export const userView = (row: UserRow): UserView => ({
  user_id: row.id,
  tenant_id: row.tenant_id,
  email: row.email,
  name: row.name,
  role: row.role,
  status: row.status,
  failed_sign_ins: row.failures ?? 0,
  locked_until: row.locked_until?.toISOString() ?? null,
  password_changed_at: row.password_changed_at.toISOString(),
  created_at: row.created_at.toISOString(),
  updated_at: row.updated_at.toISOString(),
});

/** @throws Problem `not_found`, also for users of a tenant that the principal may not see. */
export async function readUser(ctx: AuthContext, principal: Principal, id: string): Promise<UserView> {
  const tenant = tenantScope(principal);
  const row = await selectUsers(ctx)
    .where('u.id', '=', id)
    .$if(tenant !== undefined, (query) => query.where('u.tenant_id', '=', tenant ?? ''))
    .executeTakeFirst();
  if (row === undefined) throw new Problem('not_found');
  return userView(row);
}
