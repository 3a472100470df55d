import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { parseSecret } from './secret.ts';

/** What a sealed text belongs to. It opens only where all three are the same: moved ciphertext stays shut. */
export interface SealedFor {
  /** What kind of record, such as `signing_key`. */
  readonly kind: string;
  /** The row's own id. */
  readonly recordId: string;
  /** The id the world knows it by, such as a `kid`. */
  readonly publicId: string;
}

/** The keys private material lies under at rest. Made by {@link parseKeyring}. */
export interface Keyring {
  /** Id of the key new records are sealed under. */
  readonly currentKeyId: string;
  readonly keyIds: readonly string[];
  seal(plaintext: string | Uint8Array, owner: SealedFor): string;
  /**
   * @throws MissingEncryptionKeyError when the key it was sealed under is not in the ring.
   * @throws SealedTextError when the text was changed, moved to another record, or is not one of ours.
   */
  open(text: string, owner: SealedFor): Buffer;
  /**
   * Startup check: every id in use must be in the ring.
   * @throws MissingEncryptionKeyError listing all that are missing.
   */
  assertHolds(keyIdsInUse: Iterable<string>): void;
}

/** Records are sealed under keys that `ENCRYPTION_KEYS` no longer lists. */
export class MissingEncryptionKeyError extends Error {
  override readonly name = 'MissingEncryptionKeyError';
  readonly missing: readonly string[];
  constructor(missing: readonly string[], held: readonly string[]) {
    super(
      `ENCRYPTION_KEYS lacks ${missing.join(', ')} (it holds ${held.join(', ')}); put the missing keys back: what they sealed cannot be read without them`,
    );
    this.missing = missing;
  }
}

/** A sealed text that does not open: changed, moved to another record, or not one of ours. */
export class SealedTextError extends Error {
  override readonly name = 'SealedTextError';
}

const VERSION = 'gs1';
const CIPHER = 'chacha20-poly1305';
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_ID = /^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/;

/**
 * Reads `ENCRYPTION_KEYS` (`id:base64url of 32 bytes`, comma-separated) and `ENCRYPTION_CURRENT_KEY_ID`.
 *
 * A sealed text is `gs1.<key id>.<wrapped data key>.<ciphertext>`: each record has a data key of its own, wrapped by
 * the ring key named in the text, so re-encryption under a new ring key need only rewrap that one part.
 *
 * @throws Error naming the setting and the entry's place or id; never a key.
 */
export function parseKeyring(keys: string, currentKeyId: string): Keyring {
  const ring = new Map<string, Buffer>();
  for (const [index, entry] of keys.split(',').entries()) {
    const colon = entry.indexOf(':');
    const id = entry.slice(0, colon).trim();
    if (colon === -1 || !KEY_ID.test(id)) {
      throw new Error(`ENCRYPTION_KEYS: entry ${index + 1} is not id:key (id: letters, digits, - and _)`);
    }
    if (ring.has(id)) throw new Error(`ENCRYPTION_KEYS: the id ${id} is listed twice`);
    const key = parseSecret(entry.slice(colon + 1), `ENCRYPTION_KEYS: key ${id}`);
    if (key.length !== KEY_BYTES)
      throw new Error(`ENCRYPTION_KEYS: key ${id} must have exactly ${KEY_BYTES} bytes`);
    ring.set(id, key);
  }
  const current = ring.get(currentKeyId);
  if (!current) throw new Error('ENCRYPTION_CURRENT_KEY_ID is not among the ids of ENCRYPTION_KEYS');
  const keyIds = [...ring.keys()];

  return {
    currentKeyId,
    keyIds,
    seal(plaintext, owner) {
      const dataKey = randomBytes(KEY_BYTES);
      const wrapped = encrypt(current, dataKey, boundTo('key', owner, currentKeyId));
      const body = encrypt(dataKey, Buffer.from(plaintext), boundTo('data', owner));
      return [VERSION, currentKeyId, wrapped.toString('base64url'), body.toString('base64url')].join('.');
    },
    open(text, owner) {
      const parts = split(text);
      const key = ring.get(parts.keyId);
      if (!key) throw new MissingEncryptionKeyError([parts.keyId], keyIds);
      const dataKey = decrypt(key, parts.wrapped, boundTo('key', owner, parts.keyId));
      return decrypt(dataKey, parts.body, boundTo('data', owner));
    },
    assertHolds(keyIdsInUse) {
      const missing = [...new Set(keyIdsInUse)].filter((id) => !ring.has(id));
      if (missing.length > 0) throw new MissingEncryptionKeyError(missing, keyIds);
    },
  };
}

/**
 * The id of the ring key a text was sealed under, readable without the key.
 * @throws SealedTextError when it is not a sealed text.
 */
export function sealedKeyId(text: string): string {
  return split(text).keyId;
}

function split(text: string): { keyId: string; wrapped: Buffer; body: Buffer } {
  const [version, keyId, wrapped, body, ...rest] = text.split('.');
  if (version !== VERSION || !keyId || !KEY_ID.test(keyId) || !wrapped || !body || rest.length > 0) {
    throw new SealedTextError(`not a sealed text of format ${VERSION}`);
  }
  return { keyId, wrapped: fromBase64url(wrapped), body: fromBase64url(body) };
}

function fromBase64url(part: string): Buffer {
  const bytes = Buffer.from(part, 'base64url');
  if (bytes.toString('base64url') !== part) throw new SealedTextError('not base64url');
  return bytes;
}

/** The data's binding leaves the ring key out, so that rewrapping need not touch the data; the wrap's binding holds it. */
function boundTo(part: 'key' | 'data', owner: SealedFor, ringKeyId = ''): Buffer {
  return Buffer.from(JSON.stringify([VERSION, part, ringKeyId, owner.kind, owner.recordId, owner.publicId]));
}

function encrypt(key: Buffer, plaintext: Buffer, aad: Buffer): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
  cipher.setAAD(aad, { plaintextLength: plaintext.length });
  return Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

function decrypt(key: Buffer, sealed: Buffer, aad: Buffer): Buffer {
  if (sealed.length < NONCE_BYTES + TAG_BYTES) throw new SealedTextError('sealed text is cut short');
  const body = sealed.subarray(NONCE_BYTES, sealed.length - TAG_BYTES);
  const decipher = createDecipheriv(CIPHER, key, sealed.subarray(0, NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAAD(aad, { plaintextLength: body.length });
  decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(body), decipher.final()]);
  } catch {
    throw new SealedTextError('sealed text was changed, or belongs to another record');
  }
}
