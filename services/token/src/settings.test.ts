import { generateKeyPairSync } from 'node:crypto';
import { type BaseConfig, baseSettings, readConfig } from '@gatehouse/kit';
import { testEnv } from '@gatehouse/kit/testing';
import { expect, test } from 'vitest';
import { settingFaults, type TokenConfig, tokenSettings } from './settings.ts';

const keyOf = (bits: number) => {
  const pair = generateKeyPairSync('rsa', { modulusLength: bits });
  return {
    private: pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    public: pair.publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  };
};
const [good, other, short] = [keyOf(2048), keyOf(2048), keyOf(1024)];
const faults = (env: Record<string, string>) =>
  settingFaults(
    readConfig(
      { ...baseSettings, ...tokenSettings },
      testEnv({ DATABASE_URL: 'postgres://x@localhost/x', ...env }),
    ) as TokenConfig & BaseConfig,
  );

test('the defaults go together, and a whole key pair does', () => {
  expect(faults({})).toEqual([]);
  expect(
    faults({ JWT_PRIVATE_KEY_PEM: good.private, JWT_PUBLIC_KEY_PEM: good.public, JWT_KID: 'k' }),
  ).toEqual([]);
});

test.each([
  [
    'idle longer than absolute',
    { SESSION_ABSOLUTE_TTL_SECONDS: '3600' },
    /REFRESH_IDLE_TTL_SECONDS must not be longer/,
  ],
  [
    'access longer than idle',
    { REFRESH_IDLE_TTL_SECONDS: '60' },
    /ACCESS_TOKEN_TTL_SECONDS must not be longer/,
  ],
  ['no kid', { JWT_PRIVATE_KEY_PEM: good.private }, /^JWT_KID is missing/],
  ['a kid alone', { JWT_KID: 'k' }, /JWT_PRIVATE_KEY_PEM is not/],
  ['a public key alone', { JWT_PUBLIC_KEY_PEM: good.public }, /OIDC_KEY_PAIRS/],
  [
    'halves of two pairs',
    { JWT_PRIVATE_KEY_PEM: good.private, JWT_PUBLIC_KEY_PEM: other.public, JWT_KID: 'k' },
    /not the public half/,
  ],
  ['a short RSA key', { JWT_PRIVATE_KEY_PEM: short.private, JWT_KID: 'k' }, /less than 2048 bits/],
  ['no PEM', { JWT_PRIVATE_KEY_PEM: 'hello', JWT_KID: 'k' }, /^JWT_PRIVATE_KEY_PEM is not a private key/],
  ['a kid that breaks a header', { JWT_PRIVATE_KEY_PEM: good.private, JWT_KID: 'a b' }, /^JWT_KID must be/],
  ['further keys that are no JSON', { OIDC_KEY_PAIRS: 'x' }, /^OIDC_KEY_PAIRS is not JSON/],
  ['further keys that are no list', { OIDC_KEY_PAIRS: '{}' }, /must be a JSON list/],
  ['a further key without kid', { OIDC_KEY_PAIRS: '[{}]' }, /entry 1 has no valid kid/],
  [
    'a private key among the public ones',
    { OIDC_KEY_PAIRS: JSON.stringify([{ kid: 'k', public_key_pem: good.private }]) },
    /entry 1 holds a private key/,
  ],
  [
    'two keys under one kid',
    {
      OIDC_KEY_PAIRS: JSON.stringify([
        { kid: 'k', public_key_pem: good.public },
        { kid: 'k', public_key_pem: other.public },
      ]),
    },
    /two different keys/,
  ],
])('%s is refused, and the line holds no value', (_, env, fault) => {
  const found = faults(env);
  expect(found).toHaveLength(1);
  expect(found[0]).toMatch(fault);
  expect(found[0]).not.toContain('BEGIN');
});
