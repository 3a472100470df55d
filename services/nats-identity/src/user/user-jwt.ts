import { Problem } from '@gatehouse/kit';
import {
  completeUserClaims,
  createNkey,
  encodeJwt,
  type Nkey,
  UserClaims,
  validateUserClaims,
} from '@gatehouse/nats-claims';
import type { JsonObject } from '@gatehouse/schema';
import { checkedClaims } from '../claim-check.ts';
import { bearerRefused } from '../role/scope.ts';
import { wildcardTags } from '../tag.ts';

/** A greater JWT does not fit into the CONNECT line of a server as shipped (nats-protocol, fact 8). */
export const USER_JWT_BYTES_MAX = 3_400;

/** What a user's JWT is made of. */
export interface UserJwt {
  readonly publicKey: string;
  readonly name: string;
  readonly claims: JsonObject;
  /** Whether a role says what the user may. */
  readonly scoped: boolean;
  readonly iat: number;
  /** Undefined: never. */
  readonly exp: number | undefined;
  readonly signer: Nkey;
  /** Of the account when a signing key signs; undefined when its identity key does. */
  readonly issuerAccount: string | undefined;
}

/**
 * Signs a user's JWT.
 * @throws Problem `user_jwt_too_large` with its size
 */
export function signUserJwt(user: UserJwt): string {
  const { publicKey: sub, name, iat, exp, issuerAccount } = user;
  const nats = {
    ...(user.scoped ? scopedClaims(user.claims) : completeUserClaims(user.claims)),
    ...(issuerAccount !== undefined && { issuer_account: issuerAccount }),
    type: 'user',
  };
  const jwt = encodeJwt({ sub, name, iat, ...(exp !== undefined && { exp }) }, nats, user.signer);
  if (jwt.length > USER_JWT_BYTES_MAX)
    throw new Problem('user_jwt_too_large', {
      detail: `The JWT would have ${jwt.length} bytes; servers take ${USER_JWT_BYTES_MAX}.`,
      members: { bytes: jwt.length, bytes_max: USER_JWT_BYTES_MAX },
    });
  return jwt;
}

/** A user with a role carries nothing but tags: any limit, even an empty list, is an authorization violation. */
export const scopedClaims = (claims: JsonObject): JsonObject =>
  claims.tags === undefined ? {} : { tags: claims.tags };

/**
 * The claims that a user is stored with: whole, and such that servers take them.
 * @throws Problem `invalid_claims`, `user_jwt_too_large`
 */
export function checkedUserClaims(
  claims: JsonObject,
  about: {
    readonly before?: JsonObject;
    readonly scoped: boolean;
    readonly disallowBearer: boolean;
    name: string;
  },
): JsonObject {
  const { scoped, name } = about;
  const checked = checkedClaims({
    schema: UserClaims,
    before: about.before ?? {},
    after: claims,
    rules: (whole) => [
      ...validateUserClaims(whole as UserClaims, { scoped }),
      ...wildcardTags(whole.tags, about.before?.tags),
      ...(about.disallowBearer && whole.bearer_token === true ? [bearerRefused] : []),
    ],
  });
  const whole: JsonObject = scoped ? checked : completeUserClaims(checked);
  // As long as the real one will be, to tell now and not when credentials are wanted.
  signUserJwt({
    publicKey: sample.publicKey,
    name,
    claims: whole,
    scoped,
    iat: 1_000_000_000,
    exp: 1_000_000_000,
    signer: sample,
    issuerAccount: sample.publicKey,
  });
  return whole;
}

const sample = createNkey('user');
