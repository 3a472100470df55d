import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';
import { deriveKey, parseSecret } from './secret.ts';

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
  /** Id of the key that new records are sealed under now. */
  readonly currentKeyId: string;
  /** What ENCRYPTION_CURRENT_KEY_ID names: a wish, which the platform follows once every process holds the key. */
  readonly wantedKeyId: string;
  readonly keyIds: readonly string[];
  holds(keyId: string): boolean;
  /**
   * From this call on the key seals; what was sealed before stays readable.
   * @throws MissingEncryptionKeyError when it is not in the ring.
   */
  usePrimary(keyId: string): void;
  seal(plaintext: string | Uint8Array, owner: SealedFor): string;
  /**
   * The caller overwrites what it gets when done.
   * @throws MissingEncryptionKeyError when the key it was sealed under is not in the ring.
   * @throws SealedTextError when the text was changed, moved to another record, or is not one of ours.
   */
  open(text: string, owner: SealedFor): Buffer;
  /**
   * The same record under another ring key. Only the wrapped data key is opened and wrapped anew, never the data.
   * @throws MissingEncryptionKeyError, SealedTextError
   */
  rewrap(text: string, owner: SealedFor, toKeyId: string): string;
  /**
   * Opens what NIS sealed, `encrypted:<key id>:<base64>`. Nothing binds such a text to its record: whoever calls this
   * must check by other means that it belongs where it lies, and seal it anew.
   * @throws MissingEncryptionKeyError, SealedTextError
   */
  openLegacy(text: string): Buffer;
  /**
   * Tells two keys of one name apart without telling the key: 32 bytes.
   * @throws MissingEncryptionKeyError
   */
  checkValue(keyId: string): Buffer;
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
/** What the check value is made of; the key itself is used for nothing but wrapping. */
const CHECK_PURPOSE = 'encryption-key-check';

/** The form of a key's id, as JSON schemas want it. */
export const KEY_ID_PATTERN = KEY_ID.source;

/**
 * Reads `ENCRYPTION_KEYS` (`id:key`, comma-separated; a key is 32 random bytes in base64 or base64url) and `ENCRYPTION_CURRENT_KEY_ID`.
 *
 * A sealed text is `gs1.<key id>.<wrapped data key>.<ciphertext>`: each record has a data key of its own, wrapped by
 * the ring key named in the text, so re-encryption under a new ring key need only rewrap that one part.
 *
 * @throws Error naming the setting and the entry's place or id; never a key.
 */
export function parseKeyring(keys: string, currentKeyId: string): Keyring {
  return ringOf(parseKeys(keys), currentKeyId);
}

function parseKeys(keys: string): Map<string, Buffer> {
  const ring = new Map<string, Buffer>();
  for (const [index, entry] of keys.split(',').entries()) {
    const colon = entry.indexOf(':');
    const id = entry.slice(0, colon).trim();
    if (colon === -1 || !KEY_ID.test(id)) {
      throw new Error(`ENCRYPTION_KEYS: entry ${index + 1} is not id:key (id: letters, digits, - and _)`);
    }
    if (ring.has(id)) throw new Error(`ENCRYPTION_KEYS: the id ${id} is listed twice`);
    const key = parseKey(entry.slice(colon + 1).trim(), id);
    const twin = [...ring].find(([, other]) => other.equals(key))?.[0];
    if (twin !== undefined)
      throw new Error(`ENCRYPTION_KEYS: ${twin} and ${id} are the same key; make a new one for ${id}`);
    ring.set(id, key);
  }
  return ring;
}

function parseKey(text: string, id: string): Buffer {
  const setting = `ENCRYPTION_KEYS: key ${id}`;
  // NIS took any 32 characters for a key. What can be typed is not 256 random bits.
  if (text.length === KEY_BYTES) {
    throw new Error(
      `${setting} has 32 characters, as a passphrase for NIS has; a key is 32 random bytes in base64 (44 characters): make one with openssl rand -base64 32`,
    );
  }
  const key = parseSecret(text, setting);
  if (key.length !== KEY_BYTES) throw new Error(`${setting} must have exactly ${KEY_BYTES} bytes`);
  return key;
}

function ringOf(ring: ReadonlyMap<string, Buffer>, wantedKeyId: string): Keyring {
  const keyIds = [...ring.keys()];
  const keyOf = (id: string): Buffer => {
    const key = ring.get(id);
    if (key === undefined) throw new MissingEncryptionKeyError([id], keyIds);
    return key;
  };
  if (!ring.has(wantedKeyId))
    throw new Error('ENCRYPTION_CURRENT_KEY_ID is not among the ids of ENCRYPTION_KEYS');
  // One value, swapped as a whole: nobody sees the id of one key beside the bytes of another.
  let primary = { id: wantedKeyId, key: keyOf(wantedKeyId) };

  return {
    get currentKeyId() {
      return primary.id;
    },
    wantedKeyId,
    keyIds,
    holds: (keyId) => ring.has(keyId),
    usePrimary(keyId) {
      if (keyId !== primary.id) primary = { id: keyId, key: keyOf(keyId) };
    },
    seal(plaintext, owner) {
      const { id, key } = primary;
      const dataKey = randomBytes(KEY_BYTES);
      const wrapped = encrypt(key, dataKey, boundTo('key', owner, id));
      const bytes = Buffer.from(plaintext);
      const body = encrypt(dataKey, bytes, boundTo('data', owner));
      dataKey.fill(0);
      bytes.fill(0);
      return join(id, wrapped, body.toString('base64url'));
    },
    open(text, owner) {
      const parts = split(text);
      const dataKey = unwrap(keyOf(parts.keyId), parts, owner);
      try {
        return decrypt(dataKey, parts.body, boundTo('data', owner));
      } finally {
        dataKey.fill(0);
      }
    },
    rewrap(text, owner, toKeyId) {
      const parts = split(text);
      const to = keyOf(toKeyId);
      const dataKey = unwrap(keyOf(parts.keyId), parts, owner);
      const wrapped = encrypt(to, dataKey, boundTo('key', owner, toKeyId));
      dataKey.fill(0);
      return join(toKeyId, wrapped, parts.body.toString('base64url'));
    },
    openLegacy(text) {
      const { keyId, sealed } = splitLegacy(text);
      return decrypt(keyOf(keyId), sealed);
    },
    checkValue: (keyId) =>
      createHmac('sha256', deriveKey(keyOf(keyId), CHECK_PURPOSE))
        .update('gatehouse/v1/check')
        .digest(),
    assertHolds(keyIdsInUse) {
      const missing = [...new Set(keyIdsInUse)].filter((id) => !ring.has(id));
      if (missing.length > 0) throw new MissingEncryptionKeyError(missing, keyIds);
    },
  };
}

/**
 * The id of the ring key a text was sealed under, readable without the key; NIS' old format too.
 * @throws SealedTextError when it is not a sealed text.
 */
export function sealedKeyId(text: string): string {
  return isLegacySealed(text) ? splitLegacy(text).keyId : split(text).keyId;
}

const LEGACY = 'encrypted';

/** Whether a text is in the format of NIS, which binds nothing to its record. */
export const isLegacySealed = (text: string): boolean => text.startsWith(`${LEGACY}:`);

function splitLegacy(text: string): { keyId: string; sealed: Buffer } {
  const [format, keyId, sealed, ...rest] = text.split(':');
  if (format !== LEGACY || !keyId || !KEY_ID.test(keyId) || !sealed || rest.length > 0)
    throw new SealedTextError('not a sealed text of NIS');
  const bytes = Buffer.from(sealed, 'base64');
  if (bytes.toString('base64') !== sealed) throw new SealedTextError('not base64');
  return { keyId, sealed: bytes };
}

interface Parts {
  readonly keyId: string;
  readonly wrapped: Buffer;
  readonly body: Buffer;
}

const unwrap = (key: Buffer, { keyId, wrapped }: Parts, owner: SealedFor): Buffer =>
  decrypt(key, wrapped, boundTo('key', owner, keyId));

const join = (keyId: string, wrapped: Buffer, body: string): string =>
  [VERSION, keyId, wrapped.toString('base64url'), body].join('.');

function split(text: string): Parts {
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

function decrypt(key: Buffer, sealed: Buffer, aad?: Buffer): Buffer {
  if (sealed.length < NONCE_BYTES + TAG_BYTES) throw new SealedTextError('sealed text is cut short');
  const body = sealed.subarray(NONCE_BYTES, sealed.length - TAG_BYTES);
  const decipher = createDecipheriv(CIPHER, key, sealed.subarray(0, NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  });
  if (aad !== undefined) decipher.setAAD(aad, { plaintextLength: body.length });
  decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES));
  try {
    const plaintext = decipher.update(body);
    decipher.final();
    return plaintext;
  } catch {
    throw new SealedTextError('sealed text was changed, or belongs to another record');
  }
}
