import { createHash, createPrivateKey, createPublicKey, generateKeyPair, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import type { SigningAlgorithm } from '@gatehouse/schema';
import { signingThread } from './signing-thread.ts';

/** A public key as the JWKS shows it (RFC 7517): never a private member, because each member is picked by name. */
export interface PublicJwk {
  readonly kty: string;
  readonly kid: string;
  readonly alg: SigningAlgorithm;
  readonly use: 'sig';
  readonly n?: string;
  readonly e?: string;
  readonly crv?: string;
  readonly x?: string;
  readonly y?: string;
}

const rsaBitsMin = 2048;
const generate = promisify(generateKeyPair);

/** Makes a key pair off the event loop. */
export async function newKeyPair(algorithm: SigningAlgorithm): Promise<KeyObject> {
  if (algorithm === 'RS256') return (await generate('rsa', { modulusLength: rsaBitsMin })).privateKey;
  if (algorithm === 'ES256') return (await generate('ec', { namedCurve: 'P-256' })).privateKey;
  return (await generate('ed25519')).privateKey;
}

/** The algorithm follows the key: RSA → RS256, P-256 → ES256, Ed25519 → EdDSA. @throws Error that says what is wrong. */
export function algorithmOf(key: KeyObject): SigningAlgorithm {
  const { asymmetricKeyType: kind, asymmetricKeyDetails: details } = key;
  if (kind === 'rsa') {
    if ((details?.modulusLength ?? 0) < rsaBitsMin)
      throw new Error(`is an RSA key of less than ${rsaBitsMin} bits`);
    return 'RS256';
  }
  if (kind === 'ec' && details?.namedCurve === 'prime256v1') return 'ES256';
  if (kind === 'ed25519') return 'EdDSA';
  throw new Error('must be an RSA, P-256 or Ed25519 key');
}

/** What the JWKS shows of a key, private or public. */
export function publicJwkOf(key: KeyObject, kid: string): PublicJwk {
  const {
    kty = '',
    n,
    e,
    crv,
    x,
    y,
  } = (key.type === 'private' ? createPublicKey(key) : key).export({ format: 'jwk' });
  return {
    kty,
    kid,
    alg: algorithmOf(key),
    use: 'sig',
    ...(n !== undefined && { n }),
    ...(e !== undefined && { e }),
    ...(crv !== undefined && { crv }),
    ...(x !== undefined && { x }),
    ...(y !== undefined && { y }),
  };
}

/** RFC 7638 thumbprint: SHA-256 over the required members in lexical order. */
export function thumbprintOf(key: KeyObject): string {
  const { kty, n, e, crv, x, y } = publicJwkOf(key, '');
  // JSON.stringify leaves out what is undefined, so each key type keeps exactly its required members.
  return createHash('sha256').update(JSON.stringify({ crv, e, kty, n, x, y })).digest('base64url');
}

/** PEMs in an environment often carry their line breaks as the two characters \n. */
const unescaped = (pem: string): string => pem.replaceAll('\\n', '\n');

/** @throws Error that says what is wrong, never the value. */
export function privateKeyOf(pem: string): KeyObject {
  return parsed(() => createPrivateKey(unescaped(pem)), 'is not a private key in PEM form');
}

/** @throws Error that says what is wrong, never the value. A private key is refused: it does not belong there. */
export function publicKeyOf(pem: string): KeyObject {
  if (pem.includes('PRIVATE KEY')) throw new Error('holds a private key');
  return parsed(() => createPublicKey(unescaped(pem)), 'is not a public key in PEM form');
}

function parsed(parse: () => KeyObject, fault: string): KeyObject {
  let key: KeyObject;
  try {
    key = parse();
  } catch {
    throw new Error(fault);
  }
  algorithmOf(key);
  return key;
}

/** Signs the payloads of access tokens with one key. */
export interface Signer {
  readonly kid: string;
  readonly algorithm: SigningAlgorithm;
  /** The compact JWS (RFC 7515) of a payload given as JSON text. */
  sign(payload: string): Promise<string>;
}

/**
 * A signer whose work is done on the signing thread. The compact form is built by hand because of what it costs: 32 at
 * a time, ES256 takes two thirds of the processor time of jose's SignJWT.
 */
export function signerOf(privateKey: KeyObject, kid: string): Signer {
  const algorithm = algorithmOf(privateKey);
  const id = signingThread.learn(privateKey, algorithm);
  // RFC 9068 §2.1: typ at+jwt keeps an access token from passing for anything else.
  const head = `${Buffer.from(JSON.stringify({ alg: algorithm, typ: 'at+jwt', kid })).toString('base64url')}.`;
  return {
    kid,
    algorithm,
    async sign(payload) {
      const input = head + Buffer.from(payload).toString('base64url');
      return `${input}.${await signingThread.sign(id, input)}`;
    },
  };
}
