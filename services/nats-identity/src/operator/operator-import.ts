import { Problem } from '@gatehouse/kit';
import {
  type ClaimFault,
  type DecodedJwt,
  decodeJwt,
  isPublicKey,
  JwtError,
  type Nkey,
  NkeyError,
  nkeyFromSeed,
} from '@gatehouse/nats-claims';
import { namedKeys } from './operator-jwt.ts';

/** An operator as it comes from elsewhere: its JWT, and the seeds that shall be kept here. */
export interface OperatorImport {
  readonly jwt: string;
  /** Without it the root key stays offline, and new JWTs come by PUT. */
  readonly rootSeed?: string | Uint8Array;
  readonly signingSeeds?: readonly (string | Uint8Array)[];
}

/** An import that was read: every key belongs to the JWT. */
export interface ReadOperator {
  readonly decoded: DecodedJwt;
  readonly root: Nkey | undefined;
  /** Seeds by public key, of the keys that the JWT names. */
  readonly signing: ReadonlyMap<string, Nkey>;
}

/** Reads and checks an import. @throws Problem `invalid_import` */
export function readOperatorImport({ jwt, rootSeed, signingSeeds = [] }: OperatorImport): ReadOperator {
  const decoded = readOperatorJwt(jwt, 'import.jwt');
  const faults: ClaimFault[] = [];
  const root = rootSeed === undefined ? undefined : seedOf(rootSeed, 'import.root_seed', faults);
  if (root !== undefined && root.publicKey !== decoded.sub)
    faults.push({ path: 'import.root_seed', message: 'is not the seed of the operator that the JWT names.' });
  const named = new Set(namedKeys(decoded.nats));
  const signing = new Map<string, Nkey>();
  for (const [index, seed] of signingSeeds.entries()) {
    const path = `import.signing_seeds[${index}]`;
    const key = seedOf(seed, path, faults);
    if (key === undefined) continue;
    if (!named.has(key.publicKey))
      faults.push({ path, message: 'is no seed of a signing key that the JWT names.' });
    signing.set(key.publicKey, key);
  }
  if (faults.length > 0) throw invalidImport(faults);
  return { decoded, root, signing };
}

/** Reads an operator's JWT: self-signed, of this kind, and with keys that are keys. @throws Problem `invalid_import` */
export function readOperatorJwt(jwt: string, path: string): DecodedJwt {
  const decoded = readJwt(jwt, path);
  const refuse = (message: string) => invalidImport([{ path, message }]);
  const { nats } = decoded;
  // The old form has the kind beside the `nats` section.
  if (decoded.version !== 2)
    throw refuse('is of the old form (version 1), which current servers do not start with: renew it first.');
  if (nats.type !== 'operator' || !isPublicKey(decoded.sub, 'operator'))
    throw refuse('is no operator’s JWT.');
  if (decoded.iss !== decoded.sub) throw refuse('is not signed by the operator’s own root key.');
  const keys = namedKeys(nats);
  if (keys.some((key) => !isPublicKey(key, 'operator')) || keys.includes(decoded.sub))
    throw refuse('names a signing key that is none.');
  if (new Set(keys).size !== keys.length) throw refuse('names a signing key twice.');
  if (decoded.exp !== undefined && decoded.exp * 1000 <= Date.now()) throw refuse('has expired.');
  return decoded;
}

/** Reads a JWT and checks its signature. @throws Problem `invalid_import` */
export function readJwt(jwt: string, path: string): DecodedJwt {
  try {
    return decodeJwt(jwt);
  } catch (error) {
    if (!(error instanceof JwtError || error instanceof NkeyError)) throw error;
    throw invalidImport([{ path, message: `is not a NATS JWT with a valid signature: ${error.message}.` }]);
  }
}

function seedOf(seed: string | Uint8Array, path: string, faults: ClaimFault[]): Nkey | undefined {
  try {
    return nkeyFromSeed(seed, 'operator');
  } catch (error) {
    if (!(error instanceof NkeyError)) throw error;
    faults.push({ path, message: `is not the seed of an operator key: ${error.message}.` });
    return undefined;
  }
}

/** The problem of an import that cannot be used. */
export const invalidImport = (errors: readonly ClaimFault[]): Problem =>
  new Problem('invalid_import', { members: { errors: errors.slice(0, 100) } });
