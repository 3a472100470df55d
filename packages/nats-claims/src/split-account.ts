import { isObject, type LooseObject, listOf, numberOf, objectOf } from './loose-json.ts';

/** An account's `nats` section in the parts that are kept apart. */
export interface AccountParts {
  /** Everything else, known or not, as it came. */
  readonly claims: Record<string, unknown>;
  /** Signing keys in their order. `scope` is null for a plain key, else the role as it came without kind and key. */
  readonly keys: readonly { readonly publicKey: string; readonly scope: Record<string, unknown> | null }[];
  /** Revoked user keys, or `*`, with the second up to which their JWTs are revoked. */
  readonly revocations: Readonly<Record<string, number>>;
}

/**
 * Takes an account's `nats` section apart, losing nothing: {@link joinAccount} gives the same JSON back.
 * @throws TypeError for a signing key or a revocation of a form that nothing here can keep
 */
export function splitAccount(nats: LooseObject): AccountParts {
  const { signing_keys, revocations, type, version, ...claims } = nats;
  const keys = listOf(signing_keys).map((entry) => {
    if (typeof entry === 'string') return { publicKey: entry, scope: null };
    const { key, kind, ...scope } = objectOf(entry);
    if (typeof key !== 'string') throw new TypeError('a signing key without key');
    return { publicKey: key, scope: kind === 'user_scope' ? scope : { kind, ...scope } };
  });
  const revoked = Object.entries(objectOf(revocations));
  if (revoked.some(([, before]) => !Number.isSafeInteger(before)))
    throw new TypeError('a revocation without its time');
  return {
    claims,
    keys,
    revocations: Object.fromEntries(revoked.map(([key, before]) => [key, numberOf(before)])),
  };
}

/** The `nats` section of which these are the parts. */
export function joinAccount({ claims, keys, revocations }: AccountParts): Record<string, unknown> {
  return {
    ...claims,
    ...(keys.length > 0 && {
      signing_keys: keys.map(({ publicKey, scope }) =>
        isObject(scope) ? { kind: 'user_scope', key: publicKey, ...scope } : publicKey,
      ),
    }),
    ...(Object.keys(revocations).length > 0 && { revocations }),
    type: 'account',
    version: 2,
  };
}
