import { createHmac, randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { hmacSha256, isRefreshToken } from './refresh-token.ts';

it('the successor is the HMAC-SHA256 that node:crypto makes, for keys and texts of every length', () => {
  for (let round = 0; round < 200; round += 1) {
    const key = randomBytes(1 + (round % 64));
    const text = randomBytes(round).toString('base64url');
    expect(hmacSha256(key)(text)).toBe(createHmac('sha256', key).update(text).digest('base64url'));
  }
});

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
