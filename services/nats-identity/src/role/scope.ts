import {
  type ClaimFault,
  completeRoleTemplate,
  RoleTemplate,
  validateRoleTemplate,
} from '@gatehouse/nats-claims';
import type { JsonObject } from '@gatehouse/schema';
import { checkedClaims } from '../claim-check.ts';

/** What a role says, as its scope in the account's JWT says it. */
export interface RoleScope {
  readonly name: string;
  readonly description: string;
  readonly template: JsonObject;
}

/**
 * The scope as it stands in the account's JWT, in its one normal form: a server that finds any difference closes the
 * connections of all its users (nats-protocol, fact 7), so what says the same must be the same. Unknown fields of an
 * imported scope (`kept`) stay.
 */
export function scopeOf({ name, description, template }: RoleScope, kept: JsonObject = {}): JsonObject {
  const { description: _, ...others } = kept;
  return {
    ...others,
    role: name,
    ...(description !== '' && { description }),
    template: completeRoleTemplate(template),
  };
}

/** What a stored scope says. */
export function readScope(name: string, scope: JsonObject): RoleScope {
  const { description, template } = scope;
  return {
    name,
    description: typeof description === 'string' ? description : '',
    template: isObject(template) ? template : {},
  };
}

/**
 * Refuses a template that a server would refuse, or act upon otherwise than it reads.
 * @throws Problem `invalid_claims`
 */
export function checkTemplate(
  template: JsonObject,
  about: { readonly before?: JsonObject; readonly disallowBearer: boolean },
): void {
  checkedClaims({
    schema: RoleTemplate,
    before: about.before ?? {},
    after: template,
    rules: (claims) => [
      ...validateRoleTemplate(claims as RoleTemplate),
      ...(about.disallowBearer && claims.bearer_token === true ? [bearerRefused] : []),
    ],
  });
}

/** Whether an account takes no bearer users. */
export const disallowsBearer = (claims: JsonObject): boolean =>
  isObject(claims.limits) && claims.limits.disallow_bearer === true;

/** A bearer user in an account that takes none: servers would refuse every connection of it. */
export const bearerRefused: ClaimFault = {
  path: 'bearer_token',
  message: 'The account refuses bearer users (limits.disallow_bearer).',
};

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
