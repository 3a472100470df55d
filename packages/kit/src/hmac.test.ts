import { createHmac, randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { hmacSha256 } from './hmac.ts';

it('is the HMAC-SHA256 that node:crypto makes, for keys and texts of every length', () => {
  for (let round = 0; round < 200; round += 1) {
    const key = randomBytes(1 + (round % 64));
    const text = randomBytes(round).toString('base64url');
    expect(hmacSha256(key)(text)).toBe(createHmac('sha256', key).update(text).digest('base64url'));
  }
});

it('refuses a key that HMAC would hash first', () => {
  expect(() => hmacSha256(randomBytes(65))).toThrow('longer than a block');
});
