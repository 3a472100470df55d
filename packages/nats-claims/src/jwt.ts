import { createHash, randomBytes } from 'node:crypto';
import { isObject } from './loose-json.ts';
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
 * Reads a JWT and checks its signature against its own `iss`. Whether that issuer is trusted is another question. What
 * JavaScript cannot hold as it is (a number beyond 2^53) is refused, so that nothing changes unseen when it is signed anew.
 * @throws JwtError
 */
export function decodeJwt(jwt: string): DecodedJwt {
  if (jwt.length > JWT_BYTES_MAX) throw new JwtError('larger than a server takes');
  const [head = '', body = '', signature = '', ...rest] = jwt.trim().split('.');
  if (![head, body, signature].every((part) => /^[\w-]+$/.test(part)) || rest.length > 0)
    throw new JwtError('not a JWT');
  const { typ, alg } = parse(head) as { typ?: unknown; alg?: unknown };
  const old = lowerCase(alg) === 'ed25519';
  if (lowerCase(typ) !== 'jwt' || (!old && lowerCase(alg) !== 'ed25519-nkey'))
    throw new JwtError('not a NATS JWT');
  const claims = parse(body);
  const { iss, sub, iat = 0, jti } = claims;
  if (typeof iss !== 'string' || typeof sub !== 'string' || !isTime(iat))
    throw new JwtError('iss, sub or iat is missing');
  if (!isPublicKey(iss) || !isPublicKey(sub)) throw new JwtError('iss or sub is not a public key');
  // The old form signs the body only.
  if (!verifyNkey(iss, old ? body : `${head}.${body}`, Buffer.from(signature, 'base64url')))
    throw new JwtError('the signature is not the issuer’s');
  return {
    ...(typeof claims.name === 'string' ? { name: claims.name } : {}),
    ...(typeof claims.aud === 'string' ? { aud: claims.aud } : {}),
    ...timeOf(claims, 'exp'),
    ...timeOf(claims, 'nbf'),
    iat,
    jti: typeof jti === 'string' ? jti : '',
    iss,
    sub,
    nats: natsOf(claims, old),
    version: old ? 1 : 2,
  };
}

/** The `nats` section; the old form has type and tags beside it. */
function natsOf(claims: Record<string, unknown>, old: boolean): Record<string, unknown> {
  const { nats, type, tags } = claims;
  if (!isObject(nats)) throw new JwtError('no nats section');
  if (!old) return nats;
  return { ...(type !== undefined && { type }), ...(tags !== undefined && { tags }), ...nats };
}

const lowerCase = (value: unknown): string => (typeof value === 'string' ? value.toLowerCase() : '');

const isTime = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function timeOf<K extends 'exp' | 'nbf'>(
  claims: Record<string, unknown>,
  key: K,
): Partial<Record<K, number>> {
  const value = claims[key];
  if (value === undefined || value === 0) return {};
  if (!isTime(value)) throw new JwtError(`${key} is not a time`);
  return { [key]: value } as Partial<Record<K, number>>;
}

const utf8 = new TextDecoder('utf-8', { fatal: true });
/** Of objects and lists in each other; real claims have less than ten. */
const DEPTH_MAX = 64;

function parse(part: string): Record<string, unknown> {
  let value: unknown;
  let lost = false;
  try {
    const text = utf8.decode(Buffer.from(part, 'base64url'));
    // Only numbers of many digits, or with an exponent, can be others than they are written.
    const exact = !/\d{16}|\d[eE]/.test(text);
    value = exact
      ? JSON.parse(text)
      : parseWithSource(text, (_key, one, { source = '' }) => {
          if (typeof one === 'number' && !isExact(one, source)) lost = true;
          return one;
        });
  } catch {
    throw new JwtError('not a JWT');
  }
  if (lost) throw new JwtError('a number in it is too large to be kept as it is');
  if (!isObject(value)) throw new JwtError('not a JWT');
  if (isDeeper(value, DEPTH_MAX)) throw new JwtError('nested too deeply');
  return value;
}

// With a third argument of the reviver, which the language's typings do not know yet (ECMAScript, JSON.parse source text).
const parseWithSource = JSON.parse as (
  text: string,
  reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
) => unknown;

const isExact = (value: number, source: string): boolean =>
  Number.isFinite(value) &&
  (!/^-?\d+$/.test(source) ? String(value).length < 17 : Number.isSafeInteger(value));

/** Without recursion: a deeply nested text must not overflow the stack. */
function isDeeper(root: unknown, most: number): boolean {
  let level: unknown[] = [root];
  for (let depth = 0; depth <= most; depth += 1) {
    level = level.flatMap((one) => (typeof one === 'object' && one !== null ? Object.values(one) : []));
    if (level.length === 0) return false;
  }
  return true;
}

/** SHA-256 of a JWT's text: what stored and enforced are compared by, and what `CLAIMS.PACK` adds up. */
export function jwtHash(jwt: string): Buffer {
  return createHash('sha256').update(jwt).digest();
}

/** `iat` of the next JWT of an account: now, but always later than the last (nats-protocol, fact 4). */
export function nextIat(lastIat: number, nowSeconds: number = Math.floor(Date.now() / 1000)): number {
  return Math.max(nowSeconds, lastIat + 1);
}
