import { expect, it } from 'vitest';
import { isRefreshToken } from './refresh-token.ts';

it('only 43 characters of base64url can be a refresh token', () => {
  expect(isRefreshToken('A'.repeat(43))).toBe(true);
  for (const text of [
    '',
    'A'.repeat(42),
    'A'.repeat(44),
    `${'A'.repeat(42)}=`,
    `${'A'.repeat(43)}\n`,
    `${'A'.repeat(42)}é`,
  ])
    expect(isRefreshToken(text)).toBe(false);
});
