import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { MissingEncryptionKeyError, parseKeyring, SealedTextError, sealedKeyId } from './keyring.ts';

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

describe('parseKeyring', () => {
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
  ])('refuses a faulty ring and names the fault, never a key (%#)', (keys, current, message) => {
    expect(() => parseKeyring(keys, current)).toThrow(message);
    expect(() => parseKeyring(keys, current)).not.toThrow(k1);
  });
});
