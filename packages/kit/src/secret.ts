import { createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';

/** Fewest bytes a root secret or an encryption key may have. */
export const SECRET_BYTES_MIN = 32;

const SECRET_TEXT_MAX = 1024;
const REMEDY = 'make one with: openssl rand -base64 32';
/** Words of placeholders; six letters or more, so that a random secret holds one less than once in ten million. */
const PLACEHOLDER_WORDS =
  /change[-_]?me|change[-_]?this|replace|example|placeholder|password|insecure|default|secret|gatehouse|your[-_]?(key|own)/i;
/** Of 32 random bytes about 30 differ; fewer than 16 does not happen by chance. */
const DISTINCT_BYTES_MIN = 16;

/**
 * Reads a secret of at least 32 bytes written as hexadecimal, base64 or base64url (hexadecimal wins where both fit).
 * Placeholders, repeated patterns, counting bytes and encoded plain text are refused: they look like 256 bits and are not.
 *
 * @param setting name of the setting, for the error.
 * @throws Error naming the setting, the fault and the remedy; never the value.
 */
export function parseSecret(text: string, setting = 'GATEHOUSE_SECRET'): Buffer {
  const trimmed = text.trim();
  if (trimmed.length > SECRET_TEXT_MAX)
    throw new Error(`${setting} is longer than ${SECRET_TEXT_MAX} characters`);
  if (PLACEHOLDER_WORDS.test(trimmed)) throw new Error(`${setting} is an example value; ${REMEDY}`);
  const bytes = decode(trimmed);
  if (!bytes) throw new Error(`${setting} is neither hexadecimal nor base64url; ${REMEDY}`);
  if (bytes.length < SECRET_BYTES_MIN) {
    throw new Error(
      `${setting} has ${bytes.length} bytes, at least ${SECRET_BYTES_MIN} are needed; ${REMEDY}`,
    );
  }
  if (isGuessable(bytes)) throw new Error(`${setting} is not random; ${REMEDY}`);
  return bytes;
}

/**
 * A key of its own for each purpose, so that what leaks or is misused in one place says nothing about another:
 * HKDF-SHA256 (RFC 5869) with the purpose as `info`. The same root and purpose always give the same key.
 */
export function deriveKey(root: Uint8Array, purpose: string, bytes = 32): Buffer {
  if (purpose === '') throw new Error('deriveKey needs a purpose');
  return Buffer.from(hkdfSync('sha256', root, Buffer.alloc(0), `gatehouse/v1/${purpose}`, bytes));
}

const COMPARE_KEY = randomBytes(32);

/** Whether two texts are equal, in a time that tells neither where they differ nor (to the caller) the other's length. */
export function constantTimeEqual(a: string, b: string): boolean {
  const digest = (text: string): Buffer => createHmac('sha256', COMPARE_KEY).update(text, 'utf8').digest();
  return timingSafeEqual(digest(a), digest(b));
}

function decode(text: string): Buffer | undefined {
  if (/^(?:[0-9a-f]{2})+$/i.test(text)) return Buffer.from(text, 'hex');
  if (/^[A-Za-z0-9+/]+={0,2}$/.test(text) || /^[A-Za-z0-9_-]+={0,2}$/.test(text)) {
    return Buffer.from(text, 'base64url');
  }
  return undefined;
}

function isGuessable(bytes: Buffer): boolean {
  if (new Set(bytes).size < DISTINCT_BYTES_MIN) return true;
  const first = bytes.readUInt8(0);
  const step = bytes.readUInt8(1) - first;
  if (bytes.every((byte, index) => byte === ((first + step * index) & 0xff))) return true;
  if (bytes.every((byte) => byte >= 0x20 && byte < 0x7f)) return true;
  for (let period = 1; period <= bytes.length / 2; period += 1) {
    if (bytes.every((byte, index) => byte === bytes[index % period])) return true;
  }
  return false;
}
