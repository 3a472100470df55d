import { createHash, randomBytes } from 'node:crypto';
import { isPublicKey, type Nkey, verifyNkey } from './nkey.ts';

/** What a NATS JWT says beside its `nats` section; times in seconds since 1970. */
export interface JwtEnvelope {
  /** Who it is about: a public key. */
  readonly sub: string;
  readonly name?: string;
  readonly aud?: string;
  /** Must grow with every JWT of the same account: a server takes the greater one for the newer. */
  readonly iat: number;
  readonly exp?: number;
  readonly nbf?: number;
}

/** A JWT taken apart. `nats` holds every field as it came, known or not. */
export interface DecodedJwt extends JwtEnvelope {
  /** Public key of the actual signer. */
  readonly iss: string;
  readonly jti: string;
  readonly nats: Readonly<Record<string, unknown>>;
  /** 1 for the old form (`alg: ed25519`), which is read and never written. */
  readonly version: 1 | 2;
}

/** A text that is not a NATS JWT, or whose signature is not its issuer's. Its message never holds the text. */
export class JwtError extends Error {
  override readonly name = 'JwtError';
}

/** Nothing larger is read: nats-server's own bound (jwt v2, MaxTokenSize). */
export const JWT_BYTES_MAX = 1024 * 1024;

const HEADER = Buffer.from('{"typ":"JWT","alg":"ed25519-nkey"}').toString('base64url');

/**
 * Signs a `nats` section (jwt v2). `jti` is random: the Go library derives it from the envelope alone, so that two
 * different bodies of one second get the same, and a server that missed one never notices (nats-protocol, fact 4).
 */
export function encodeJwt(
  envelope: JwtEnvelope,
  nats: Readonly<Record<string, unknown>>,
  signer: Nkey,
): string {
  const { sub, name, aud, iat, exp, nbf } = envelope;
  const payload = JSON.stringify({
    ...(aud ? { aud } : {}),
    ...(exp ? { exp } : {}),
    jti: randomBytes(16).toString('base64url'),
    iat,
    iss: signer.publicKey,
    ...(name ? { name } : {}),
    ...(nbf ? { nbf } : {}),
    sub,
    nats: { ...nats, version: 2 },
  });
  const signed = `${HEADER}.${Buffer.from(payload).toString('base64url')}`;
  return `${signed}.${signer.sign(signed).toString('base64url')}`;
}

/**
 * Reads a JWT and checks its signature against its own `iss`. Whether that issuer is trusted is another question.
 * @throws JwtError
 */
export function decodeJwt(jwt: string): DecodedJwt {
  if (jwt.length > JWT_BYTES_MAX) throw new JwtError('larger than a server takes');
  const [head, body, signature, ...rest] = jwt.trim().split('.');
  if (!head || !body || !signature || rest.length > 0) throw new JwtError('not a JWT');
  const { typ, alg } = parse(head) as { typ?: unknown; alg?: unknown };
  if (String(typ).toLowerCase() !== 'jwt' || (alg !== 'ed25519-nkey' && alg !== 'ed25519'))
    throw new JwtError('not a NATS JWT');
  const claims = parse(body);
  const { iss, sub, iat, jti } = claims;
  if (typeof iss !== 'string' || typeof sub !== 'string' || !Number.isSafeInteger(iat ?? 0))
    throw new JwtError('iss, sub or iat is missing');
  if (!isPublicKey(iss)) throw new JwtError('iss is not a public key');
  // The old form signs the body only.
  const signed = alg === 'ed25519' ? body : `${head}.${body}`;
  if (!verifyNkey(iss, signed, Buffer.from(signature, 'base64url')))
    throw new JwtError('the signature is not the issuer’s');
  const nats = claims.nats;
  if (typeof nats !== 'object' || nats === null || Array.isArray(nats)) throw new JwtError('no nats section');
  return {
    ...(typeof claims.name === 'string' ? { name: claims.name } : {}),
    ...(typeof claims.aud === 'string' ? { aud: claims.aud } : {}),
    ...timeOf(claims, 'exp'),
    ...timeOf(claims, 'nbf'),
    iat: (iat ?? 0) as number,
    jti: typeof jti === 'string' ? jti : '',
    iss,
    sub,
    nats: nats as Record<string, unknown>,
    version: alg === 'ed25519' ? 1 : 2,
  };
}

function timeOf<K extends 'exp' | 'nbf'>(
  claims: Record<string, unknown>,
  key: K,
): Partial<Record<K, number>> {
  const value = claims[key];
  if (value === undefined || value === 0) return {};
  if (!Number.isSafeInteger(value)) throw new JwtError(`${key} is not a time`);
  return { [key]: value } as Partial<Record<K, number>>;
}

function parse(part: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'));
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return value as Record<string, unknown>;
  } catch {
    // told below, without the text
  }
  throw new JwtError('not a JWT');
}

/** SHA-256 of a JWT's text: what stored and enforced are compared by, and what `CLAIMS.PACK` adds up. */
export function jwtHash(jwt: string): Buffer {
  return createHash('sha256').update(jwt).digest();
}

/** `iat` of the next JWT of an account: now, but always later than the last (nats-protocol, fact 4). */
export function nextIat(lastIat: number, nowSeconds: number = Math.floor(Date.now() / 1000)): number {
  return Math.max(nowSeconds, lastIat + 1);
}
