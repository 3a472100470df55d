import type { AccountClaims, AccountLimits, JetStreamLimits, RoleTemplate, UserClaims } from './claims.ts';
import { isObject } from './loose-json.ts';

const jetStreamDefaults: Required<JetStreamLimits> = {
  mem_storage: 0,
  disk_storage: 0,
  streams: -1,
  consumer: -1,
  max_ack_pending: -1,
  mem_max_stream_bytes: -1,
  disk_max_stream_bytes: -1,
  max_bytes_required: false,
};

const accountDefaults = {
  subs: -1,
  data: -1,
  payload: -1,
  imports: -1,
  exports: -1,
  wildcards: true,
  disallow_bearer: false,
  conn: -1,
  leaf: -1,
} satisfies AccountLimits;

const userDefaults = { subs: -1, data: -1, payload: -1 } satisfies UserClaims;

/**
 * The claims with every limit written out: a number that is missing is 0 to a server, and 0 is not unlimited
 * (nats-protocol §b.2). JetStream is off unless storage is given. With tiers the flat JetStream limits go, unless one
 * of them says something: then both stay, for the rules to refuse.
 */
export function completeAccountClaims(claims: AccountClaims): AccountClaims {
  const { tiered_limits: tiers, ...given } = claims.limits ?? {};
  if (!isObject(tiers) || Object.keys(tiers).length === 0)
    return { ...claims, limits: { ...accountDefaults, ...jetStreamDefaults, ...given } };
  const flat = Object.entries(given).filter(([key, value]) => !saysNothing(key, value));
  const tiered = Object.entries(tiers).map(([tier, limits]) => [tier, { ...jetStreamDefaults, ...limits }]);
  return {
    ...claims,
    limits: {
      ...accountDefaults,
      ...Object.fromEntries(flat),
      tiered_limits: Object.fromEntries(tiered),
    },
  };
}

/** Whether a flat JetStream limit is what an account has that was never given one. */
function saysNothing(key: string, value: unknown): boolean {
  if (!Object.hasOwn(jetStreamDefaults, key)) return false;
  return value === jetStreamDefaults[key as keyof JetStreamLimits] || value === 0;
}

/** The claims of a user without a role, with its limits written out. A user with a role has none: leave them alone. */
export function completeUserClaims(claims: UserClaims): UserClaims {
  return { ...userDefaults, ...claims };
}

/**
 * A role's template in its one normal form: limits written out, keys sorted, and nothing that says nothing (empty
 * lists and objects, `false`). A server compares templates and closes the connections of everybody who has the role
 * when they differ at all (fact 7): so a save that changes nothing must give the same bytes.
 */
export function completeRoleTemplate(template: RoleTemplate): RoleTemplate {
  return (normal({ ...userDefaults, ...template }) ?? {}) as RoleTemplate;
}

function normal(value: unknown): unknown {
  if (Array.isArray(value)) {
    const texts = value.every((one) => typeof one === 'string');
    const list = texts ? [...new Set(value)] : value.map(normal);
    return list.length > 0 ? list : undefined;
  }
  if (!isObject(value)) return value === false || value === '' ? undefined : value;
  const entries = Object.entries(value)
    .map(([key, member]) => [key, normal(member)] as const)
    .filter(([, member]) => member !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return entries.length > 0 ? Object.fromEntries(entries) : undefined;
}
