import { expect, test } from 'vitest';
import { createNkey, isPublicKey, NkeyError, nkeyFromSeed, nkeyKind, verifyNkey } from './index.ts';

// The pair that NATS' documentation shows; made by the Go library.
const KNOWN = {
  seed: 'SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY',
  publicKey: 'UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4',
};

test('a seed that the Go library made gives the public key that it gives', () => {
  const key = nkeyFromSeed(KNOWN.seed);
  expect(key.publicKey).toBe(KNOWN.publicKey);
  expect(key.kind).toBe('user');
  expect(key.seed().toString()).toBe(KNOWN.seed);
});

test.each([
  ['operator', 'O', 'SO'],
  ['account', 'A', 'SA'],
  ['user', 'U', 'SU'],
  ['server', 'N', 'SN'],
  ['cluster', 'C', 'SC'],
  ['curve', 'X', 'SX'],
] as const)(
  'a key of kind %s begins with %s, its seed with %s, and both are read back',
  (kind, first, begin) => {
    const key = createNkey(kind);
    expect(key.publicKey).toMatch(new RegExp(`^${first}[A-Z2-7]{55}$`));
    const seed = key.seed();
    expect(seed.toString()).toMatch(new RegExp(`^${begin}[A-Z2-7]{56}$`));
    expect(nkeyKind(key.publicKey)).toBe(kind);
    expect(nkeyFromSeed(seed, kind).publicKey).toBe(key.publicKey);
    // The caller overwrites what it was given; the key goes on.
    seed.fill(0);
    expect(nkeyFromSeed(key.seed()).publicKey).toBe(key.publicKey);
  },
);

test('what a key signs, its public key verifies, and no other’s does', () => {
  const [one, other] = [createNkey('account'), createNkey('account')];
  const signature = one.sign('text');
  expect(verifyNkey(one.publicKey, 'text', signature)).toBe(true);
  expect(verifyNkey(one.publicKey, 'texts', signature)).toBe(false);
  expect(verifyNkey(other.publicKey, 'text', signature)).toBe(false);
  expect(verifyNkey(one.publicKey, 'text', signature.subarray(1))).toBe(false);
  expect(() => createNkey('curve').sign('text')).toThrow(NkeyError);
});

const user = createNkey('user');
test.each([
  ['nothing', ''],
  ['white space', ' '.repeat(58)],
  ['a public key', user.publicKey],
  ['a seed of another kind', createNkey('account').seed().toString()],
  ['a wrong checksum', KNOWN.seed.replace(/Y$/, 'Z')],
  ['lower case', KNOWN.seed.toLowerCase()],
  ['two seeds', KNOWN.seed + KNOWN.seed],
  ['a megabyte', 'S'.repeat(1_000_000)],
  ['NUL', `${KNOWN.seed}\0`],
  ['bits after the end', `${KNOWN.seed}A`],
])('%s is no seed of a user, and the refusal does not hold it', (_name, text) => {
  expect(() => nkeyFromSeed(text, 'user')).toThrow(NkeyError);
  try {
    nkeyFromSeed(text, 'user');
  } catch (error) {
    if (text.trim().length > 10) expect(String(error)).not.toContain(text.slice(0, 12));
  }
});

test.each([
  '',
  'U',
  user.publicKey.slice(1),
  `${user.publicKey} `,
  user.publicKey.toLowerCase(),
  KNOWN.seed,
  'Ü'.repeat(56),
])('%j is no public key', (text) => expect(isPublicKey(text)).toBe(false));

test('every single wrong character of a public key is noticed', () => {
  for (let at = 0; at < 56; at += 1) {
    const wrong = user.publicKey[at] === 'A' ? 'B' : 'A';
    expect(isPublicKey(user.publicKey.slice(0, at) + wrong + user.publicKey.slice(at + 1))).toBe(false);
  }
});
