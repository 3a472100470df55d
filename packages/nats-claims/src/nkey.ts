import { createPrivateKey, createPublicKey, type KeyObject, randomBytes, sign, verify } from 'node:crypto';
import { decodeBase32, encodeBase32 } from './base32.ts';

/** What a key stands for; the first letter of its public form says it (nkeys, strkey.go). */
export type NkeyKind = 'operator' | 'account' | 'user' | 'server' | 'cluster' | 'curve';

const prefixes: Readonly<Record<NkeyKind, number>> = {
  operator: 14 << 3,
  account: 0,
  user: 20 << 3,
  server: 13 << 3,
  cluster: 2 << 3,
  curve: 23 << 3,
};
const kindOfPrefix = new Map(Object.entries(prefixes).map(([kind, prefix]) => [prefix, kind as NkeyKind]));
const SEED_PREFIX = 18 << 3;
const KEY_BYTES = 32;

/** A text that is not an nkey, or not one of the kind that is wanted. Its message never holds the text. */
export class NkeyError extends Error {
  override readonly name = 'NkeyError';
}

/** A key pair that can sign. Made by {@link createNkey} or {@link nkeyFromSeed}; keep it short. */
export interface Nkey {
  readonly kind: NkeyKind;
  /** 56 characters that begin with O, A, U, N, C or X. */
  readonly publicKey: string;
  /** 58 characters that begin with S: a secret. In a Buffer, so that it can be overwritten. */
  seed(): Buffer;
  /** Ed25519 over the bytes (RFC 8032). @throws NkeyError for a curve key, which only seals. */
  sign(data: string | Uint8Array): Buffer;
  /** Overwrites the seed; it signs no more. For who keeps keys longer than one call. */
  wipe(): void;
}

/** Makes a key pair from the system's randomness. */
export function createNkey(kind: NkeyKind): Nkey {
  return nkeyOf(kind, randomBytes(KEY_BYTES));
}

/**
 * Reads a seed as written in `.nk` and `.creds` files.
 * @throws NkeyError when it is not one, or (with `kind`) stands for something else
 */
export function nkeyFromSeed(seed: string | Uint8Array, kind?: NkeyKind): Nkey {
  const text = typeof seed === 'string' ? seed : Buffer.from(seed).toString('latin1');
  const bytes = checked(text.trim(), 'seed');
  const [first = 0, second = 0] = bytes;
  const found = kindOfPrefix.get(((first & 7) << 5) | (second >> 3));
  if ((first & 0xf8) !== SEED_PREFIX || found === undefined || bytes.length !== KEY_BYTES + 2)
    throw new NkeyError('not a seed');
  if (kind !== undefined && found !== kind) throw new NkeyError(`a seed of kind ${found}, not ${kind}`);
  const key = nkeyOf(found, Buffer.from(bytes.subarray(2)));
  bytes.fill(0);
  return key;
}

/** The kind of a public key. @throws NkeyError when the text is not a public key */
export function nkeyKind(publicKey: string): NkeyKind {
  const bytes = checked(publicKey, 'public key');
  const kind = kindOfPrefix.get(bytes[0] ?? -1);
  if (kind === undefined || bytes.length !== KEY_BYTES + 1) throw new NkeyError('not a public key');
  return kind;
}

/** Whether the text is a public key, of that kind when one is given. */
export function isPublicKey(text: string, kind?: NkeyKind): boolean {
  try {
    const found = nkeyKind(text);
    return kind === undefined || found === kind;
  } catch {
    return false;
  }
}

/** Whether `signature` is that key's over `data`. @throws NkeyError when `publicKey` is none */
export function verifyNkey(publicKey: string, data: string | Uint8Array, signature: Uint8Array): boolean {
  if (nkeyKind(publicKey) === 'curve') return false;
  const raw = checked(publicKey, 'public key').subarray(1);
  const key = createPublicKey({ key: Buffer.concat([SPKI, raw]), format: 'der', type: 'spki' });
  return verify(null, bytesOf(data), key, signature);
}

const bytesOf = (data: string | Uint8Array) => (typeof data === 'string' ? Buffer.from(data) : data);

// RFC 8410: the DER that stands before 32 raw bytes of an Ed25519 and of an X25519 key.
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');
const SPKI = Buffer.from('302a300506032b6570032100', 'hex');
const PKCS8_CURVE = Buffer.from('302e020100300506032b656e04220420', 'hex');

/** Takes `raw` over. */
function nkeyOf(kind: NkeyKind, raw: Buffer): Nkey {
  const der = Buffer.concat([kind === 'curve' ? PKCS8_CURVE : PKCS8, raw]);
  const key: KeyObject = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  der.fill(0);
  const publicRaw = createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(-KEY_BYTES);
  const prefix = prefixes[kind];
  let wiped = false;
  const refuseWiped = () => {
    if (wiped) throw new NkeyError('the key was wiped');
  };
  return {
    kind,
    publicKey: withChecksum([Buffer.of(prefix), publicRaw]).toString('latin1'),
    seed() {
      refuseWiped();
      return withChecksum([Buffer.of(SEED_PREFIX | (prefix >> 5), (prefix & 31) << 3), raw]);
    },
    sign(data) {
      refuseWiped();
      if (kind === 'curve') throw new NkeyError('a curve key does not sign');
      return sign(null, bytesOf(data), key);
    },
    wipe() {
      wiped = true;
      raw.fill(0);
    },
  };
}

function withChecksum(parts: readonly Uint8Array[]): Buffer {
  const bytes = Buffer.concat([...parts, Buffer.alloc(2)]);
  bytes.writeUInt16LE(crc16(bytes.subarray(0, -2)), bytes.length - 2);
  const text = encodeBase32(bytes);
  bytes.fill(0);
  return text;
}

function checked(text: string, what: string): Buffer {
  const bytes = text.length > 64 ? undefined : decodeBase32(text);
  if (bytes === undefined || bytes.length < 4) throw new NkeyError(`not a ${what}`);
  const body = bytes.subarray(0, -2);
  if (bytes.readUInt16LE(body.length) !== crc16(body))
    throw new NkeyError(`not a ${what}: its checksum is wrong`);
  return body;
}

/** CRC-16/XMODEM: polynomial 0x1021, initial value 0. */
function crc16(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1) & 0xffff;
  }
  return crc;
}
