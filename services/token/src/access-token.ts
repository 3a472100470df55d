import { randomUUID } from 'node:crypto';
import type { BaseConfig } from '@gatehouse/kit';
import type { KeyRing } from './key-ring.ts';

/** What an access token says of its bearer. */
export interface AccessGrant {
  readonly user_id: string;
  readonly tenant_id: string;
  readonly session_id: string;
  /** JSON text of the list of roles, as Postgres rendered it: it goes into the payload as it is. */
  readonly roles: string;
  /** Space-separated. */
  readonly scope: string;
  /** Unix seconds by the database's clock. */
  readonly issued_at: number;
  /** Seconds; never beyond the end of the session. */
  readonly expires_in: number;
}

/** Makes access tokens (RFC 9068). */
export interface AccessTokens {
  sign(grant: AccessGrant): Promise<string>;
}

/** SQL for `issued_at` and `expires_in`; `session` must be in scope, $ttl is the parameter of the lifetime. */
export const grantTimes = (sessionExpiry: string, ttlSeconds: number): string =>
  `floor(extract(epoch from now()))::int4 as issued_at,
   least(${ttlSeconds}, greatest(1, floor(extract(epoch from ${sessionExpiry} - now()))))::int4 as expires_in`;

/**
 * Ids come from uuid columns and roles from to_json, so they need no escaping here; everything else is quoted by
 * JSON.stringify. Nothing that a caller sends can name a claim (attacks.md, hard case 8).
 */
export function openAccessTokens(
  config: Pick<BaseConfig, 'TOKEN_ISSUER' | 'TOKEN_AUDIENCE'>,
  ring: Pick<KeyRing, 'signer'>,
): AccessTokens {
  const fixed = `{"iss":${JSON.stringify(config.TOKEN_ISSUER)},"aud":${JSON.stringify(config.TOKEN_AUDIENCE)},"sub":"`;
  return {
    sign: (grant) =>
      ring
        .signer()
        .sign(
          `${fixed}${grant.user_id}","exp":${grant.issued_at + grant.expires_in},"iat":${grant.issued_at},"jti":"${randomUUID()}","sid":"${grant.session_id}","tenant_id":"${grant.tenant_id}","roles":${grant.roles},"scope":${JSON.stringify(grant.scope)}}`,
        ),
  };
}
