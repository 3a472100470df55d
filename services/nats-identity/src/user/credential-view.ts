import { Time, Uuid } from '@gatehouse/kit';
import type { CredentialTable, NatsidDatabase } from '@gatehouse/schema';
import { type Kysely, type Selectable, sql } from 'kysely';
import Type, { type Static } from 'typebox';

const nullable = <T extends Type.TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

export const CredentialState = Type.Union(
  [Type.Literal('active'), Type.Literal('expired'), Type.Literal('revoked'), Type.Literal('superseded')],
  {
    description:
      'superseded: killed by a newer one that was to take its place. A newer one alone changes nothing: both are active.',
  },
);
export type CredentialState = Static<typeof CredentialState>;

/** What was issued, without what signs in: the JWT is not kept, of a bearer user it is the credential. */
export const CredentialView = Type.Object({
  id: Uuid,
  account_id: Uuid,
  user_id: Uuid,
  user: nullable(Type.String({ description: 'Its name; null: the user is deleted.' })),
  public_key: Type.String(),
  issuer_key: Type.String(),
  jti: Type.String(),
  jwt_sha256: Type.String({ description: 'SHA-256 of the JWT, hexadecimal.' }),
  state: CredentialState,
  issued_at: Time,
  issued_by: nullable(Type.String()),
  expires_at: nullable(Time),
  revoked_at: nullable(Time),
  superseded_at: nullable(Time),
  last_seen_at: nullable(Time),
});
export type CredentialView = Static<typeof CredentialView>;

/** What the ledger's row of a credential says of it now. */
export const stateSql = sql<CredentialState>`case
  when c.revoked_at is not null then 'revoked'
  when c.superseded_at is not null then 'superseded'
  when c.expires_at <= now() then 'expired'
  else 'active' end`;

/** The ledger with the names of users. */
export const selectCredentials = (db: Kysely<NatsidDatabase>) =>
  db
    .selectFrom('credential as c')
    .innerJoin('account as a', 'a.id', 'c.account_id')
    .leftJoin('nats_user as u', 'u.id', 'c.user_id')
    .selectAll('c')
    .select('u.name as user')
    .select(stateSql.as('state'));

/** A row of {@link selectCredentials} as the API shows it. */
export function credentialView(
  row: Selectable<CredentialTable> & { readonly user: string | null; readonly state: CredentialState },
): CredentialView {
  return {
    id: row.id,
    account_id: row.account_id,
    user_id: row.user_id,
    user: row.user,
    public_key: row.public_key,
    issuer_key: row.issuer_key,
    jti: row.jti,
    jwt_sha256: row.jwt_sha256.toString('hex'),
    state: row.state,
    issued_at: row.issued_at.toISOString(),
    issued_by: row.issued_by,
    expires_at: row.expires_at?.toISOString() ?? null,
    revoked_at: row.revoked_at?.toISOString() ?? null,
    superseded_at: row.superseded_at?.toISOString() ?? null,
    last_seen_at: row.last_seen_at?.toISOString() ?? null,
  };
}
