import { createCipheriv, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  isLegacySealed,
  MissingEncryptionKeyError,
  parseKeyring,
  SealedTextError,
  sealedKeyId,
} from './keyring.ts';

const key = (): string => randomBytes(32).toString('base64url');
const k1 = key();
const k2 = key();
const owner = { kind: 'signing_key', recordId: '0198c0de-0000-7000-8000-000000000001', publicId: 'kid-1' };

describe('a key ring', () => {
  const ring = parseKeyring(`k1:${k1},k2:${k2}`, 'k2');

  it('opens what it sealed, bytes or text, and the text names its key', () => {
    const sealed = ring.seal('-----BEGIN PRIVATE KEY-----', owner);
    expect(ring.open(sealed, owner).toString()).toBe('-----BEGIN PRIVATE KEY-----');
    expect(sealedKeyId(sealed)).toBe('k2');
    expect(sealed).not.toContain('PRIVATE');
    const bytes = randomBytes(5000);
    expect(ring.open(ring.seal(bytes, owner), owner)).toEqual(bytes);
    expect(ring.open(ring.seal('', owner), owner)).toHaveLength(0);
  });

  it('never seals the same text the same way twice', () => {
    expect(ring.seal('same', owner)).not.toBe(ring.seal('same', owner));
  });

  it.each([
    ['kind', { ...owner, kind: 'signing_key2' }],
    ['record', { ...owner, recordId: owner.recordId.replace('1', '2') }],
    ['public id', { ...owner, publicId: 'kid-2' }],
    ['split between the fields', { ...owner, kind: 'signing', recordId: `_key${owner.recordId}` }],
  ])('does not open a text moved to another %s', (_, other) => {
    expect(() => ring.open(ring.seal('x', owner), other)).toThrow(SealedTextError);
  });

  it('does not open a text with any one character changed', () => {
    const sealed = ring.seal('some private key', owner);
    for (let at = 0; at < sealed.length; at += 1) {
      const changed = `${sealed.slice(0, at)}${sealed[at] === 'A' ? 'B' : 'A'}${sealed.slice(at + 1)}`;
      expect(() => ring.open(changed, owner), changed).toThrow(/sealed|lacks|base64url/);
    }
    for (const junk of ['', 'gs1', 'gs1.k2..', 'gs1.k2.AA.AA', `${sealed}.x`, sealed.slice(0, -30)]) {
      expect(() => ring.open(junk, owner), junk).toThrow(SealedTextError);
    }
  });

  it('does not take the data of one record with the wrapped key of another', () => {
    const [a, b] = [ring.seal('a', owner).split('.'), ring.seal('b', owner).split('.')];
    expect(() => ring.open([a[0], a[1], a[2], b[3]].join('.'), owner)).toThrow(SealedTextError);
  });

  it('reads old records after the current key has changed, and only with the key that sealed them', () => {
    const old = parseKeyring(`k1:${k1}`, 'k1').seal('old', owner);
    expect(ring.open(old, owner).toString()).toBe('old');
    expect(() => parseKeyring(`k2:${k2}`, 'k2').open(old, owner)).toThrow(MissingEncryptionKeyError);
    expect(() => parseKeyring(`k1:${key()}`, 'k1').open(old, owner)).toThrow(SealedTextError);
  });

  it('lists every key that is missing, with the remedy', () => {
    expect(() => ring.assertHolds(['k1', 'k2', 'k1'])).not.toThrow();
    expect(() => ring.assertHolds(['k0', 'k2', 'k9', 'k0'])).toThrow(
      /lacks k0, k9 \(it holds k1, k2\); put the missing keys back/,
    );
  });
});

describe('the key that seals', () => {
  it('can be another one from one call to the next, and what lies there stays readable', () => {
    const ring = parseKeyring(`k1:${k1},k2:${k2}`, 'k1');
    const before = ring.seal('before', owner);
    ring.usePrimary('k2');
    expect([ring.currentKeyId, ring.wantedKeyId]).toEqual(['k2', 'k1']);
    const after = ring.seal('after', owner);
    expect([sealedKeyId(before), sealedKeyId(after)]).toEqual(['k1', 'k2']);
    expect([before, after].map((text) => ring.open(text, owner).toString())).toEqual(['before', 'after']);
  });

  it('is never one that the ring lacks', () => {
    const ring = parseKeyring(`k1:${k1}`, 'k1');
    expect(() => ring.usePrimary('k2')).toThrow(MissingEncryptionKeyError);
    expect(sealedKeyId(ring.seal('x', owner))).toBe('k1');
    expect([ring.holds('k1'), ring.holds('k2')]).toEqual([true, false]);
  });
});

describe('rewrapping', () => {
  const ring = parseKeyring(`k1:${k1},k2:${k2}`, 'k1');
  const sealed = ring.seal('a seed', owner);

  it('changes the wrapped part only, and the text then needs the new key only', () => {
    const moved = ring.rewrap(sealed, owner, 'k2');
    expect(sealedKeyId(moved)).toBe('k2');
    expect(moved.split('.')[3]).toBe(sealed.split('.')[3]);
    expect(moved.split('.')[2]).not.toBe(sealed.split('.')[2]);
    expect(parseKeyring(`k2:${k2}`, 'k2').open(moved, owner).toString()).toBe('a seed');
    expect(() => parseKeyring(`k1:${k1}`, 'k1').open(moved, owner)).toThrow(MissingEncryptionKeyError);
  });

  it('refuses a text of another record, a changed wrap, and a key that the ring lacks', () => {
    const other = { ...owner, recordId: owner.recordId.replace('1', '2') };
    expect(() => ring.rewrap(sealed, other, 'k2')).toThrow(SealedTextError);
    const [version, id, wrapped = '', body] = sealed.split('.');
    const changed = `${wrapped.slice(0, -2)}${wrapped.at(-2) === 'A' ? 'B' : 'A'}${wrapped.slice(-1)}`;
    expect(() => ring.rewrap([version, id, changed, body].join('.'), owner, 'k2')).toThrow(SealedTextError);
    expect(() => ring.rewrap(sealed, owner, 'k3')).toThrow(MissingEncryptionKeyError);
  });

  it('does not open the data: a changed body passes, and is found only when opened', () => {
    const [version, id, wrapped, body = ''] = sealed.split('.');
    const changed = [version, id, wrapped, `${body[0] === 'A' ? 'B' : 'A'}${body.slice(1)}`].join('.');
    const moved = ring.rewrap(changed, owner, 'k2');
    expect(() => ring.open(moved, owner)).toThrow(SealedTextError);
  });
});

describe('the check value of a key', () => {
  it('is the same in every process, and another one for another key', () => {
    const value = parseKeyring(`k1:${k1},k2:${k2}`, 'k1').checkValue('k1');
    expect(parseKeyring(`other:${k1}`, 'other').checkValue('other')).toEqual(value);
    expect(parseKeyring(`k1:${k2}`, 'k1').checkValue('k1')).not.toEqual(value);
    expect(value).toHaveLength(32);
    expect(value.toString('base64url')).not.toBe(k1);
  });
});

describe('what NIS sealed', () => {
  const nis = (plaintext: string, id = 'k1', bytes = Buffer.from(k1, 'base64url')): string => {
    const nonce = randomBytes(12);
    const cipher = createCipheriv('chacha20-poly1305', bytes, nonce, { authTagLength: 16 });
    const text = Buffer.concat([cipher.update(plaintext), cipher.final()]);
    return `encrypted:${id}:${Buffer.concat([nonce, text, cipher.getAuthTag()]).toString('base64')}`;
  };
  const ring = parseKeyring(`k1:${k1},k2:${k2}`, 'k2');

  it('opens through its own door only', () => {
    const text = nis('SUAseed');
    expect([isLegacySealed(text), sealedKeyId(text)]).toEqual([true, 'k1']);
    expect(ring.openLegacy(text).toString()).toBe('SUAseed');
    expect(() => ring.open(text, owner)).toThrow(SealedTextError);
    expect(() => ring.rewrap(text, owner, 'k2')).toThrow(SealedTextError);
    expect(() => ring.openLegacy(ring.seal('x', owner))).toThrow(SealedTextError);
  });

  it('does not open changed, cut, under another key, or under one that the ring lacks', () => {
    const text = nis('SUAseed');
    expect(() => ring.openLegacy(nis('SUAseed', 'k2'))).toThrow(SealedTextError);
    expect(() => ring.openLegacy(nis('SUAseed', 'k9'))).toThrow(/lacks k9/);
    for (const junk of [
      text.slice(0, -4),
      'encrypted:k1:',
      'encrypted::AAAA',
      `${text}:x`,
      'encrypted:k1:AAAA',
    ])
      expect(() => ring.openLegacy(junk), junk).toThrow(SealedTextError);
  });
});

describe('parseKeyring', () => {
  it('takes what openssl rand -base64 32 prints, as the guide says', () => {
    const bytes = Buffer.concat([Buffer.from([0xfb, 0xef, 0xff]), randomBytes(29)]);
    const ring = parseKeyring(`key-2025-01:${bytes.toString('base64')}`, 'key-2025-01');
    const same = parseKeyring(`key-2025-01:${bytes.toString('base64url')}`, 'key-2025-01');
    expect(same.open(ring.seal('x', owner), owner).toString()).toBe('x');
  });

  it.each([
    ['', 'k1', 'entry 1'],
    [`k1:${k1},`, 'k1', 'entry 2'],
    [k1, 'k1', 'entry 1'],
    [`k.1:${k1}`, 'k.1', 'entry 1'],
    [`k1:${k1},k1:${k2}`, 'k1', 'listed twice'],
    [`k1:${randomBytes(16).toString('base64url')}`, 'k1', 'has 16 bytes'],
    [`k1:${randomBytes(48).toString('base64url')}`, 'k1', 'exactly 32'],
    [`k1:${'A'.repeat(43)}`, 'k1', 'not random'],
    [`k1:${k1}`, 'k2', 'ENCRYPTION_CURRENT_KEY_ID'],
    [`k1:${k1},k2:${k1}`, 'k1', 'k1 and k2 are the same key'],
    ['k1:exactly-32-bytes-of-ascii-letter', 'k1', 'as a passphrase for NIS has'],
    ['k1:correct horse battery staple and some more', 'k1', 'neither hexadecimal nor base64url'],
  ])('refuses a faulty ring and names the fault, never a key (%#)', (keys, current, message) => {
    expect(() => parseKeyring(keys, current)).toThrow(message);
    expect(() => parseKeyring(keys, current)).not.toThrow(k1);
  });
});
