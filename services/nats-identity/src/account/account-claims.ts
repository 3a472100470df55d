import { AccountClaims, completeAccountClaims, validateAccountClaims } from '@gatehouse/nats-claims';
import type { JsonObject } from '@gatehouse/schema';
import { checkedClaims } from '../claim-check.ts';
import { wildcardTags } from '../tag.ts';

/** What an account's claims are checked with. */
export interface AccountCheck {
  /** What is stored; `{}` of a new account. */
  readonly before: JsonObject;
  /** What shall be; limits that it lacks are filled in. */
  readonly after: JsonObject;
  /** undefined while the account has no key yet. */
  readonly publicKey?: string;
  readonly systemAccount: boolean;
  /** Whether the claims come new, so that what has expired in them is a mistake. */
  readonly fresh?: boolean;
}

/** An account's claims, whole, when servers would take them. @throws Problem `invalid_claims` */
export function checkedAccountClaims({
  before,
  after,
  publicKey,
  systemAccount,
  fresh = false,
}: AccountCheck): JsonObject {
  const about = { publicKey, systemAccount, ...(fresh && { nowSeconds: Math.floor(Date.now() / 1000) }) };
  // Only what is an object can be filled in; the schema names what is not.
  const fillable = after.limits === undefined || isObject(after.limits);
  return checkedClaims({
    schema: AccountClaims,
    before,
    after: fillable ? { ...completeAccountClaims(after as AccountClaims) } : after,
    rules: (claims) => [
      ...validateAccountClaims(claims as AccountClaims, about),
      ...wildcardTags(claims.tags, before.tags),
    ],
  });
}

const isObject = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
