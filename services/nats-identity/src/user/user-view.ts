import { Time, Uuid } from '@gatehouse/kit';
import type { NatsidDatabase, NatsUserTable } from '@gatehouse/schema';
import type { Kysely, Selectable } from 'kysely';
import Type, { type Static } from 'typebox';
import { ShownClaims } from '../claim-check.ts';

const nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

/** A user as answers show it. Nothing in it signs in. */
export const UserView = Type.Object({
  id: Uuid,
  account_id: Uuid,
  name: Type.String(),
  public_key: Type.String(),
  role_id: nullable(Uuid),
  role: nullable(Type.String()),
  seed: Type.Union([Type.Literal('held'), Type.Literal('own')], {
    description: 'own: the user keeps its own key, and gets JWTs only.',
  }),
  claims: ShownClaims,
  ttl_seconds: Type.Union([Type.Integer(), Type.Null()], {
    description: 'Lifetime of what is issued to it; null: the platform’s default.',
  }),
  state: Type.Union([Type.Literal('active'), Type.Literal('revoked')]),
  last_seen_at: nullable(Time),
  revision: Type.Integer(),
  created_at: Time,
  updated_at: Time,
});
export type UserView = Static<typeof UserView>;

/** Users with the name of their role. */
export const selectUsers = (db: Kysely<NatsidDatabase>) =>
  db
    .selectFrom('nats_user as u')
    .innerJoin('account as a', 'a.id', 'u.account_id')
    .leftJoin('account_key as k', 'k.id', 'u.role_id')
    .selectAll('u')
    .select('k.role_name as role');

/** A row of {@link selectUsers} as the API shows it. */
export function userView(row: Selectable<NatsUserTable> & { readonly role: string | null }): UserView {
  return {
    id: row.id,
    account_id: row.account_id,
    name: row.name,
    public_key: row.public_key,
    role_id: row.role_id,
    role: row.role,
    seed: row.secret_id === null ? 'own' : 'held',
    claims: { ...row.claims },
    ttl_seconds: row.ttl_seconds,
    state: row.state,
    last_seen_at: row.last_seen_at?.toISOString() ?? null,
    revision: row.revision,
    created_at: row.created_at.toISOString(),
    updated_at: row.updated_at.toISOString(),
  };
}

/** The user as it stands now. */
export async function readUser(db: Kysely<NatsidDatabase>, id: string): Promise<UserView> {
  return userView(await selectUsers(db).where('u.id', '=', id).executeTakeFirstOrThrow());
}
