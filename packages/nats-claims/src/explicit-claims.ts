import { type LooseObject, objectOf } from './loose-json.ts';

const numbers = ['subs', 'data', 'payload'] as const;
const accountNumbers = [...numbers, 'imports', 'exports', 'conn', 'leaf'] as const;
const accountFlags = ['wildcards', 'disallow_bearer'] as const;
const jetStreamNumbers = [
  'mem_storage',
  'disk_storage',
  'streams',
  'consumer',
  'max_ack_pending',
  'mem_max_stream_bytes',
  'disk_max_stream_bytes',
] as const;

/**
 * The claims of an imported account with what a server reads where a limit is missing: 0 and false. To a server nothing
 * changes. Without it the next edit would fill in defaults (−1, unlimited), and so give rights that nobody gave.
 */
export function explicitAccountClaims(claims: LooseObject): Record<string, unknown> {
  const limits = objectOf(claims.limits);
  const tiers = Object.entries(objectOf(limits.tiered_limits));
  const jetStream =
    tiers.length > 0
      ? {
          tiered_limits: Object.fromEntries(
            tiers.map(([tier, of]) => [tier, explicitJetStream(objectOf(of))]),
          ),
        }
      : explicitJetStream(limits);
  return {
    ...claims,
    limits: { ...zeros(accountNumbers, limits), ...falses(accountFlags, limits), ...limits, ...jetStream },
  };
}

/** The same of an imported user without a role, or of a role's template. */
export function explicitUserClaims(claims: LooseObject): Record<string, unknown> {
  return { ...zeros(numbers, claims), ...claims };
}

/** The same of an imported role: its `template`. A scope of a kind that is not known stays as it is. */
export function explicitScope(scope: LooseObject): Record<string, unknown> {
  return Object.hasOwn(scope, 'kind')
    ? { ...scope }
    : { ...scope, template: explicitUserClaims(objectOf(scope.template)) };
}

const explicitJetStream = (limits: LooseObject) => ({
  ...zeros(jetStreamNumbers, limits),
  ...falses(['max_bytes_required'], limits),
  ...limits,
});

const zeros = (keys: readonly string[], given: LooseObject) => filled(keys, given, 0);
const falses = (keys: readonly string[], given: LooseObject) => filled(keys, given, false);
const filled = (keys: readonly string[], given: LooseObject, value: number | boolean) =>
  Object.fromEntries(keys.filter((key) => given[key] === undefined).map((key) => [key, value]));
