import { generateKeyPairSync } from 'node:crypto';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PLATFORM_ADMIN, startToken, type TestToken } from './testing.ts';

const pem = (type: 'rsa' | 'ec' | 'ed25519', bits = 2048) => {
  const pair =
    type === 'rsa'
      ? generateKeyPairSync('rsa', { modulusLength: bits })
      : type === 'ec'
        ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
        : generateKeyPairSync('ed25519');
  return {
    private: pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    public: pair.publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  };
};

describe('the JWKS', () => {
  let service: TestToken;
  beforeAll(async () => {
    service = await startToken();
  });
  afterAll(async () => {
    await service.platform.close();
  });
  const get = (headers: Record<string, string> = {}) =>
    service.platform.api.get('/.well-known/jwks.json', { headers });

  test('is cacheable and answers 304 to its own ETag', async () => {
    const answer = await get();
    expect(answer.status).toBe(200);
    expect(answer.headers.get('cache-control')).toBe('public, max-age=300');
    expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
    const etag = answer.headers.get('etag') ?? '';
    expect(etag).toMatch(/^"[A-Za-z0-9_-]+"$/);
    for (const asked of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
      const again = await get({ 'if-none-match': asked });
      expect([again.status, again.text, again.headers.get('etag')]).toEqual([304, '', etag]);
    }
    expect((await get({ 'if-none-match': '"other"' })).status).toBe(200);
  });

  test('shows public members only', async () => {
    for (const key of (await get()).body.keys)
      expect(Object.keys(key).sort()).toEqual(['alg', 'e', 'kid', 'kty', 'n', 'use']);
  });
});

describe('keys of the environment', () => {
  test.each([
    ['rsa', 'RS256'],
    ['ec', 'ES256'],
    ['ed25519', 'EdDSA'],
  ] as const)('%s signs %s, with further public keys beside it', async (type, alg) => {
    const [own, older] = [pem(type), pem('rsa')];
    const service = await startToken({
      JWT_PRIVATE_KEY_PEM: own.private.replaceAll('\n', '\\n'),
      JWT_PUBLIC_KEY_PEM: own.public,
      JWT_KID: 'main-1',
      OIDC_KEY_PAIRS: JSON.stringify([{ kid: 'older', public_key_pem: older.public }]),
    });
    try {
      const person = await service.signIn({ roles: PLATFORM_ADMIN });
      const jwks = (await service.platform.api.get('/.well-known/jwks.json')).body;
      expect(jwks.keys.map(({ kid }: { kid: string }) => kid)).toEqual(['main-1', 'older']);
      expect(JSON.stringify(jwks)).not.toMatch(/"(d|p|q|dp|dq|qi)":/);
      const { protectedHeader } = await jwtVerify(person.access, createLocalJWKSet(jwks));
      expect(protectedHeader).toEqual({ alg, typ: 'at+jwt', kid: 'main-1' });
      const admin = { token: person.access };
      const { body } = await service.platform.api.get('/api/admin/keys', admin);
      expect(body.items).toMatchObject([
        { kid: 'main-1', state: 'current', source: 'environment' },
        { kid: 'older', state: 'published', source: 'environment' },
      ]);
      for (const path of ['/api/admin/keys/rotate', '/api/admin/keys/main-1/revoke']) {
        const answer = await service.platform.api.post(path, { reason: 'x' }, admin);
        expect([answer.status, answer.body.code]).toEqual([409, 'keys_from_environment']);
      }
    } finally {
      await service.platform.close();
    }
  });

  test('take over from managed ones, whose tokens go on', async () => {
    const own = pem('ec');
    let service = await startToken();
    const person = await service.signIn();
    const [before] = (await service.platform.api.get('/.well-known/jwks.json')).body.keys;
    service = await service.restart({ JWT_PRIVATE_KEY_PEM: own.private, JWT_KID: 'main-1' });
    try {
      const { keys } = (await service.platform.api.get('/.well-known/jwks.json')).body;
      expect(keys.map(({ kid }: { kid: string }) => kid)).toEqual(
        expect.arrayContaining(['main-1', before.kid]),
      );
      expect((await service.platform.api.get('/api/auth/sessions', { token: person.access })).status).toBe(
        200,
      );
      const { body } = await service.refresh(person.refresh);
      expect((await jwtVerify(body.access_token, createLocalJWKSet({ keys }))).protectedHeader.kid).toBe(
        'main-1',
      );
    } finally {
      await service.platform.close();
    }
  });
});
