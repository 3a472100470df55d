import { Problem } from '@gatehouse/kit';
import type { AccountState, JsonObject, SecretKind } from '@gatehouse/schema';
import type { SealedRow } from '../secret.ts';
import { keptToService } from '../visible.ts';

/** All that an issue must know, of one moment. */
export interface IssueFacts {
  readonly place: number;
  /** The database's clock, in seconds. */
  readonly now: number;
  readonly user_id: string;
  readonly user: string;
  readonly public_key: string;
  readonly claims: JsonObject;
  readonly ttl_seconds: number | null;
  readonly user_state: 'active' | 'revoked';
  readonly revision: number;
  readonly role_id: string | null;
  readonly account_id: string;
  readonly tenant_id: string | null;
  readonly account_key: string;
  readonly account_state: AccountState;
  /** The system account of the platform's own bus. */
  readonly of_service: boolean;
  /** Grows with everything that would make a JWT of this moment wrong: keys, roles, revocations, state. */
  readonly account_iat: number;
  readonly disallow_bearer: boolean;
  readonly role_bearer: boolean;
  /** JWTs with an `iat` up to this second are dead; null: nothing is revoked. */
  readonly before: number | null;
  readonly seed_id: string | null;
  readonly seed_kind: SecretKind | null;
  readonly seed_sealed: string | null;
  readonly signer_id: string | null;
  readonly signer_kind: SecretKind | null;
  readonly signer_key: string | null;
  readonly signer_sealed: string | null;
}

/**
 * Reads what issues need, of as many users as are asked for ($1: ids). Each part is found by its key, in this order,
 * whatever the planner thinks of the tables (`offset 0` keeps it from turning the joins round): plans of named
 * statements are kept. The signer is the role's key for a user with a role, else what `accountSigner` would take.
 */
export const factsSql = `
  select p.place::int4 as place, floor(extract(epoch from clock_timestamp()))::bigint as now,
    u.id as user_id, u.name as "user", u.public_key, u.claims, u.ttl_seconds, u.state as user_state, u.revision,
    u.role_id, a.id as account_id, a.tenant_id, a.public_key as account_key, a.state as account_state,
    a.kind = 'system' and o.own as of_service,
    a.jwt_iat as account_iat, coalesce((a.claims #> '{limits,disallow_bearer}') = 'true', false) as disallow_bearer,
    coalesce((role.scope #> '{template,bearer_token}') = 'true', false) as role_bearer, r.before,
    seed.id as seed_id, seed.kind as seed_kind, seed.sealed as seed_sealed,
    signer.id as signer_id, signer.kind as signer_kind, signer.public_key as signer_key, signer.sealed as signer_sealed
  from unnest($1::uuid[]) with ordinality as p (user_id, place)
  cross join lateral (select * from nats_user where id = p.user_id offset 0) u
  cross join lateral (select * from account where id = u.account_id offset 0) a
  cross join lateral (
    select coalesce(claims -> 'strict_signing_key_usage' = 'true', false) as strict, own
    from operator where id = a.operator_id offset 0
  ) o
  left join lateral (select scope, secret_id from account_key where id = u.role_id offset 0) role on true
  left join lateral (
    select secret_id from account_key
    where u.role_id is null and account_id = a.id and scope is null and secret_id is not null
    order by created_at desc, id desc limit 1
  ) plain on true
  left join lateral (
    select max(before) as before from revocation where account_id = a.id and public_key in (u.public_key, '*')
  ) r on true
  left join lateral (select * from secret where id = u.secret_id offset 0) seed on true
  left join lateral (
    select * from secret
    where id = case when u.role_id is not null then role.secret_id
      else coalesce(plain.secret_id, case when not o.strict then a.secret_id end) end
    offset 0
  ) signer on true`;

/**
 * Refuses what nothing may be issued for.
 * @throws Problem
 */
export function refuseUnissuable(facts: IssueFacts): void {
  if (facts.of_service) throw new Problem('forbidden', { detail: keptToService });
  if (facts.account_state !== 'active') throw new Problem('account_not_active');
  if (facts.user_state !== 'active') throw new Problem('user_revoked');
  if (facts.disallow_bearer && isBearer(facts))
    throw new Problem('invalid_claims', {
      members: {
        errors: [
          { path: 'bearer_token', message: 'The account refuses bearer users (limits.disallow_bearer).' },
        ],
      },
    });
  if (facts.role_id !== null && facts.signer_id === null) throw new Problem('no_signing_key');
}

/** Whether the JWT alone signs in. */
export const isBearer = (facts: Pick<IssueFacts, 'role_id' | 'role_bearer' | 'claims'>): boolean =>
  facts.role_id === null ? facts.claims.bearer_token === true : facts.role_bearer;

/** The signer's seed as it lies sealed; undefined when there is none to sign with. */
export function sealedSigner(facts: IssueFacts): SealedRow | undefined {
  const { signer_id: id, signer_kind: kind, signer_key: public_key, signer_sealed: sealed } = facts;
  if (id === null || kind === null || public_key === null || sealed === null) return undefined;
  return { id, kind, public_key, sealed };
}

/** The user's own seed as it lies sealed; undefined when the user keeps it. */
export function sealedSeed(facts: IssueFacts): SealedRow | undefined {
  const { seed_id: id, seed_kind: kind, public_key, seed_sealed: sealed } = facts;
  if (id === null || kind === null || sealed === null) return undefined;
  return { id, kind, public_key, sealed };
}
