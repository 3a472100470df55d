import { may, type Principal, Problem } from '@gatehouse/kit';
import Type from 'typebox';
import type { NatsIdentityConfig } from '../settings.ts';

type Bounds = Pick<NatsIdentityConfig, 'NATS_CREDENTIAL_TTL_SECONDS' | 'NATS_CREDENTIAL_TTL_MAX_SECONDS'>;

/** A lifetime in seconds, in bodies. */
export const TtlSeconds = Type.Integer({
  minimum: 1,
  maximum: 2 ** 31 - 1,
  description: 'Lifetime in seconds.',
});

/** How long a call wants credentials to live; at most one of them says it. */
export interface WantedLifetime {
  readonly ttl_seconds?: number;
  readonly expires_at?: string;
  readonly never_expires?: boolean;
}

/**
 * When what is issued at `now` (seconds) expires; undefined: never. A call says it, else the user, else the platform. A
 * lifetime above the platform's greatest, or without end, is for platform administrators, as an order of this call or
 * as a user's own setting made by one.
 * @throws Problem `invalid_request`, `forbidden`
 */
export function expiryOf(
  config: Bounds,
  principal: Pick<Principal, 'roles'>,
  { wanted, userTtl, now }: { wanted: WantedLifetime; userTtl: number | null; now: number },
): number | undefined {
  const given = [wanted.ttl_seconds, wanted.expires_at, wanted.never_expires || undefined];
  if (given.filter((one) => one !== undefined).length > 1)
    throw invalid('Give one of ttl_seconds, expires_at and never_expires.');
  if (wanted.never_expires === true) {
    refuseAbove(config, principal, Number.POSITIVE_INFINITY);
    return undefined;
  }
  if (wanted.expires_at !== undefined) {
    const exp = Math.floor(Date.parse(wanted.expires_at) / 1000);
    if (!Number.isSafeInteger(exp)) throw invalid('expires_at is not a time (RFC 3339).');
    if (exp <= now) throw invalid('expires_at is in the past.');
    refuseAbove(config, principal, exp - now);
    return exp;
  }
  if (wanted.ttl_seconds !== undefined) {
    refuseAbove(config, principal, wanted.ttl_seconds);
    return now + wanted.ttl_seconds;
  }
  return now + (userTtl ?? config.NATS_CREDENTIAL_TTL_SECONDS);
}

/** @throws Problem `forbidden` when the caller may not let anything live so long */
export function checkTtl(
  config: Bounds,
  principal: Pick<Principal, 'roles'>,
  seconds: number | null | undefined,
): void {
  if (seconds !== null && seconds !== undefined) refuseAbove(config, principal, seconds);
}

function refuseAbove(config: Bounds, principal: Pick<Principal, 'roles'>, seconds: number): void {
  if (seconds <= config.NATS_CREDENTIAL_TTL_MAX_SECONDS || may(principal, 'platform.manage')) return;
  throw new Problem('forbidden', {
    detail: `Only platform administrators may let credentials live longer than ${config.NATS_CREDENTIAL_TTL_MAX_SECONDS} seconds.`,
  });
}

const invalid = (detail: string) => new Problem('invalid_request', { detail });
