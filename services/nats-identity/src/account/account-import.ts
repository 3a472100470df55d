import type { ClaimFault, DecodedJwt, Nkey } from '@gatehouse/nats-claims';
import {
  type AccountParts,
  explicitAccountClaims,
  explicitScope,
  isPublicKey,
  NkeyError,
  nkeyFromSeed,
  splitAccount,
} from '@gatehouse/nats-claims';
import { invalidImport, readJwt } from '../operator/operator-import.ts';

/** An account as it comes from elsewhere: its JWT, and the seeds that shall be kept here. */
export interface AccountImport {
  readonly jwt: string;
  /** Of the identity key; what signing keys sign needs it no more. */
  readonly seed?: string | Uint8Array;
  /** Of signing keys, roles' among them. */
  readonly signingSeeds?: readonly (string | Uint8Array)[];
}

/** An import that was read: every key belongs to the JWT, and the JWT to an operator's key. */
export interface ReadAccount {
  readonly decoded: DecodedJwt;
  readonly parts: AccountParts;
  readonly identity: Nkey | undefined;
  /** Seeds by public key, of the keys that the JWT names. */
  readonly signing: ReadonlyMap<string, Nkey>;
}

/**
 * Reads and checks an import. What servers take already is taken as it is: only what cannot be kept is refused.
 * @throws Problem `invalid_import`
 */
export function readAccountImport(
  { jwt, seed, signingSeeds = [] }: AccountImport,
  operatorKeys: ReadonlySet<string>,
): ReadAccount {
  const decoded = readJwt(jwt, 'jwt');
  const refuse = (message: string) => invalidImport([{ path: 'jwt', message }]);
  if (decoded.version !== 2) throw refuse('is of the old form (version 1): renew it first.');
  if (decoded.nats.type !== 'account' || !isPublicKey(decoded.sub, 'account'))
    throw refuse('is no account’s JWT.');
  if (!operatorKeys.has(decoded.iss)) throw refuse('is not signed by a key of the operator.');
  const parts = partsOf(decoded, refuse);
  const faults: ClaimFault[] = [];
  const identity = seed === undefined ? undefined : seedOf(seed, 'seed', faults);
  if (identity !== undefined && identity.publicKey !== decoded.sub)
    faults.push({ path: 'seed', message: 'is not the seed of the account that the JWT names.' });
  const named = new Set(parts.keys.map(({ publicKey }) => publicKey));
  const signing = new Map<string, Nkey>();
  for (const [index, one] of signingSeeds.entries()) {
    const path = `signing_seeds[${index}]`;
    const key = seedOf(one, path, faults);
    if (key === undefined) continue;
    if (!named.has(key.publicKey))
      faults.push({ path, message: 'is no seed of a signing key that the JWT names.' });
    signing.set(key.publicKey, key);
  }
  if (faults.length > 0) throw invalidImport(faults);
  return { decoded, parts, identity, signing };
}

function partsOf({ nats, sub }: DecodedJwt, refuse: (message: string) => Error): AccountParts {
  let parts: AccountParts;
  try {
    parts = splitAccount(nats);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw refuse(`holds ${error.message}.`);
  }
  const keys = parts.keys.map(({ publicKey }) => publicKey);
  if (keys.some((key) => !isPublicKey(key, 'account')) || keys.includes(sub))
    throw refuse('names a signing key that is none.');
  if (new Set(keys).size !== keys.length) throw refuse('names a signing key twice.');
  // What servers read where a limit is missing: the next edit must not fill in what nobody gave.
  return {
    ...parts,
    claims: explicitAccountClaims(parts.claims),
    keys: parts.keys.map((key) => ({ ...key, scope: key.scope && explicitScope(key.scope) })),
  };
}

function seedOf(seed: string | Uint8Array, path: string, faults: ClaimFault[]): Nkey | undefined {
  try {
    return nkeyFromSeed(seed, 'account');
  } catch (error) {
    if (!(error instanceof NkeyError)) throw error;
    faults.push({ path, message: `is not the seed of an account key: ${error.message}.` });
    return undefined;
  }
}
