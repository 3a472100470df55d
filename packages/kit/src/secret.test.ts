import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { constantTimeEqual, deriveKey, parseSecret } from './secret.ts';

const bytes = Buffer.from('9f4c1de20b7a8856f3c4d1e09ab3557c10d28f6e4b9937a5c8e1f206d47b5a93', 'hex');

describe('parseSecret', () => {
  it.each([
    ['hexadecimal', bytes.toString('hex')],
    ['upper-case hexadecimal', bytes.toString('hex').toUpperCase()],
    ['base64', bytes.toString('base64')],
    ['base64 without padding', bytes.toString('base64').replace(/=+$/, '')],
    ['base64url', bytes.toString('base64url')],
    ['base64url with a newline after it', `${bytes.toString('base64url')}\n`],
  ])('reads %s', (_, text) => {
    expect(parseSecret(text)).toEqual(bytes);
  });

  it.each([
    ['nothing', ''],
    ['31 bytes', randomBytes(31).toString('base64url')],
    ['a password', 'correct horse battery staple correct horse battery staple'],
    ['a placeholder', 'change-me-change-me-change-me-change-me-change'],
    ['another placeholder', 'please_replace_this_value_with_a_real_one_0001'],
    ['encoded plain text', Buffer.from('The quick brown fox jumps over the lazy dog').toString('base64')],
    ['zeros', '0'.repeat(64)],
    ['one letter', 'A'.repeat(43)],
    ['a repeated pattern', '0123456789abcdef'.repeat(4)],
    ['counting bytes', Buffer.from(Array.from({ length: 32 }, (_, i) => i)).toString('hex')],
    ['two halves alike', Buffer.concat([bytes.subarray(0, 16), bytes.subarray(0, 16)]).toString('base64')],
    ['mixed alphabets', `${'ab+cd/ef'.repeat(5)}-_`],
    ['a megabyte', 'ab'.repeat(500_000)],
  ])('refuses %s, naming the setting and never the value', (_, text) => {
    const parse = () => parseSecret(text, 'SOME_SETTING');
    expect(parse).toThrow(/^SOME_SETTING /);
    if (text) expect(parse).not.toThrow(text.slice(0, 12));
  });

  it('accepts what openssl makes, a thousand times', () => {
    for (let i = 0; i < 1000; i += 1) {
      expect(parseSecret(randomBytes(32).toString('base64'))).toHaveLength(32);
      expect(parseSecret(randomBytes(32).toString('hex'))).toHaveLength(32);
    }
  });
});

describe('deriveKey', () => {
  it('stays the same over versions: what was sealed or signed must open tomorrow', () => {
    expect(deriveKey(bytes, 'cursor').toString('hex')).toBe(
      '94000f49924f2298f0870180ab63232ebe646a8314ca7c88dca57d277fc9b42c',
    );
  });

  it('gives each purpose and each root a key of its own', () => {
    const keys = [
      deriveKey(bytes, 'cursor'),
      deriveKey(bytes, 'refresh'),
      deriveKey(randomBytes(32), 'cursor'),
    ].map((key) => key.toString('hex'));
    expect(new Set(keys).size).toBe(3);
    expect(deriveKey(bytes, 'cursor', 64)).toHaveLength(64);
    expect(() => deriveKey(bytes, '')).toThrow();
  });
});

describe('constantTimeEqual', () => {
  it.each([
    ['', '', true],
    ['secret', 'secret', true],
    ['secret', 'secreT', false],
    ['secret', 'secret ', false],
    ['', 'x', false],
    ['a'.repeat(100_000), 'a'.repeat(100_000), true],
    ['\ud800', '\udfff', true],
  ])('compares texts of any length', (a, b, expected) => {
    // The last row: lone surrogates are the same bytes in UTF-8. What is compared here was made by us, in ASCII.
    expect(constantTimeEqual(a, b)).toBe(expected);
  });
});
