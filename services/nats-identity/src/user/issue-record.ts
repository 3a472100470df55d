import { EVENT_LANE, newId, OUTBOX_INSERT } from '@gatehouse/kit';
import type { IssueFacts } from './issue-facts.ts';

/** What is written of an issue. */
export interface IssueRecord {
  readonly facts: IssueFacts;
  readonly credentialId: string;
  readonly issuerKey: string;
  readonly jti: string;
  readonly sha256: Buffer;
  readonly iat: number;
  readonly exp: number | undefined;
  readonly issuedBy: string | null;
  /** Data of `natsid.credentials.issued`, as JSON. */
  readonly event: string;
  readonly traceparent: string | null;
}

/**
 * Ledger and event of issues in one statement, whose WHERE is the verdict: an issue is written only while user and
 * account are what they were when it was made. It waits for whoever changes them (they hold the account's lock), and
 * they wait for it: a revocation that comes after an issue sees it in the ledger, and one that came before moved the
 * account's `jwt_iat`, so that nothing is written.
 *
 * The account is locked before the user, as everywhere: the second lateral depends on the first.
 */
export const recordSql = `
  with asked as (
    select * from unnest($1::uuid[], $2::uuid[], $3::int8[], $4::int8[], $5::uuid[], $6::text[], $7::text[], $8::bytea[],
      $9::int8[], $10::int8[], $11::text[], $12::uuid[], $13::text[], $14::text[])
      with ordinality as p (user_id, account_id, account_iat, revision, credential_id, issuer_key, jti, sha256,
        iat, exp, issued_by, event_id, event, traceparent, place)
  ), held as (
    select p.*, a.tenant_id, u.public_key
    from asked p
    cross join lateral (
      select id, tenant_id from account where id = p.account_id and jwt_iat = p.account_iat and state = 'active'
      for key share
    ) a
    cross join lateral (
      select public_key from nats_user
      where id = p.user_id and account_id = a.id and revision = p.revision and state = 'active'
      for share
    ) u
  ), issued as (
    insert into credential (id, user_id, account_id, public_key, issuer_key, jti, jwt_sha256, iat, expires_at, issued_by)
    select credential_id, user_id, account_id, public_key, issuer_key, jti, sha256, iat,
      to_timestamp(exp), issued_by
    from held
  ), told as (
    ${OUTBOX_INSERT}
    select event_id, ${EVENT_LANE}, 'natsid.credentials.issued', 'natsid.credentials.issued', tenant_id,
      'nats_user:' || user_id, event::jsonb, traceparent
    from held
  )
  select place::int4 as place, now() as issued_at from held`;

/** The values of {@link recordSql}. */
export function recordValues(records: readonly IssueRecord[]): unknown[] {
  const all = <T>(pick: (one: IssueRecord) => T): T[] => records.map(pick);
  return [
    all(({ facts }) => facts.user_id),
    all(({ facts }) => facts.account_id),
    all(({ facts }) => facts.account_iat),
    all(({ facts }) => facts.revision),
    all(({ credentialId }) => credentialId),
    all(({ issuerKey }) => issuerKey),
    all(({ jti }) => jti),
    all(({ sha256 }) => sha256),
    all(({ iat }) => iat),
    all(({ exp }) => exp ?? null),
    all(({ issuedBy }) => issuedBy),
    all(() => newId()),
    all(({ event }) => event),
    all(({ traceparent }) => traceparent),
  ];
}
