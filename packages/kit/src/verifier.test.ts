import { createHmac } from 'node:crypto';
import { exportJWK, exportSPKI, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import {
  algorithms,
  all,
  allSigners,
  closeVerifiers,
  goodClaims,
  issuer,
  makeSigners,
  newSigner,
  nowSeconds,
  outcome,
  signerOf,
  world,
} from './verifier-testing.ts';

beforeAll(makeSigners);
afterEach(() => {
  vi.useRealTimers();
  closeVerifiers();
});

describe('a good token', () => {
  test.each(algorithms)('signed with %s names its principal', async (alg) => {
    const claims = { ...goodClaims(), roles: ['ADMIN', 'USER'] };
    const verifier = world(all()).open();
    const token = await signerOf(alg).sign(claims);
    const expected = {
      outcome: 'ok',
      principal: {
        userId: claims.sub,
        tenantId: claims.tenant_id,
        sessionId: claims.sid,
        roles: ['ADMIN', 'USER'],
        scope: 'openid',
        tokenId: claims.jti,
        issuedAt: claims.iat,
        expiresAt: claims.exp,
      },
    };
    expect(await verifier.verify(token)).toEqual(expected);
    expect(await verifier.verify(token)).toEqual(expected);
  });

  test('takes no other principal with it: what is remembered is bound to the whole token', async () => {
    const verifier = world(all()).open();
    const token = await signerOf('ES256').sign();
    expect(await outcome(verifier, token)).toBe('ok');
    const [head, payload, signature] = token.split('.');
    const other = Buffer.from(JSON.stringify({ ...goodClaims(), roles: ['PLATFORM_ADMIN'] })).toString(
      'base64url',
    );
    expect(await outcome(verifier, `${head}.${other}.${signature}`)).toBe('invalid');
    expect(await outcome(verifier, `${head}.${payload}.${signature?.slice(0, -2)}`)).toBe('invalid');
    expect(await outcome(verifier, `${token} `)).toBe('invalid');
  });
});

describe('hard case 5: a token is refused', () => {
  const none = Buffer.from('{"alg":"none","typ":"at+jwt"}').toString('base64url');

  test('without a signature, whatever its algorithm says', async () => {
    const { state, open } = world(all());
    const verifier = open();
    const payload = Buffer.from(JSON.stringify(goodClaims())).toString('base64url');
    for (const alg of ['none', 'None', 'NONE', '', 'RS256']) {
      const header = { alg, kid: signerOf('RS256').kid, typ: 'at+jwt' };
      const head = Buffer.from(JSON.stringify(header)).toString('base64url');
      expect(await outcome(verifier, `${head}.${payload}.`)).toBe('invalid');
    }
    expect(await outcome(verifier, `${none}.${payload}.`)).toBe('invalid');
    expect(state.questions).toEqual([]);
  });

  test.each(['HS256', 'HS384', 'HS512'])('signed by %s with a public key as the secret', async (alg) => {
    const verifier = world(all()).open();
    for (const { jwk, kid, publicKey } of allSigners()) {
      const header = Buffer.from(JSON.stringify({ alg, kid, typ: 'at+jwt' })).toString('base64url');
      const input = `${header}.${Buffer.from(JSON.stringify(goodClaims())).toString('base64url')}`;
      for (const secret of [await exportSPKI(publicKey), JSON.stringify(jwk), String(jwk.n ?? jwk.x)]) {
        const mac = createHmac(alg.replace('HS', 'sha'), secret).update(input).digest('base64url');
        expect(await outcome(verifier, `${input}.${mac}`)).toBe('invalid');
      }
    }
  });

  test('when a symmetric key stands in the key set', async () => {
    const k = Buffer.alloc(32, 1);
    const verifier = world([
      ...all(),
      { kty: 'oct', kid: 'oct', alg: 'HS256', k: k.toString('base64url') },
    ]).open();
    const token = await new SignJWT(goodClaims())
      .setProtectedHeader({ alg: 'HS256', kid: 'oct', typ: 'at+jwt' })
      .sign(k);
    expect(await outcome(verifier, token)).toBe('invalid');
  });

  test('whose key is of another type than its algorithm, or another key of the set', async () => {
    const verifier = world(all()).open();
    for (const signer of allSigners()) {
      for (const other of allSigners()) {
        if (other === signer) continue;
        expect(await outcome(verifier, await signer.sign({}, { kid: other.kid }))).toBe('invalid');
      }
    }
  });

  test('by RS256 relatives that the key could do as well', async () => {
    const { privateKey, publicKey } = await generateKeyPair('RS512', { extractable: true });
    const verifier = world([{ ...(await exportJWK(publicKey)), kid: 'rsa' }]).open();
    const token = await new SignJWT(goodClaims())
      .setProtectedHeader({ alg: 'RS512', kid: 'rsa', typ: 'at+jwt' })
      .sign(privateKey);
    expect(await outcome(verifier, token)).toBe('invalid');
  });

  test.each([
    '../../../../dev/null',
    '/etc/passwd',
    "' or 1=1 --",
    '__proto__',
    'constructor',
    'toString',
    '',
    'http://169.254.169.254/',
    '\u0000',
  ])('whose kid is %j', async (kid) => {
    const verifier = world(all()).open();
    expect(await outcome(verifier, await signerOf('EdDSA').sign({}, { kid }))).toBe('invalid');
  });

  test('whose kid is no text, very long or missing', async () => {
    const verifier = world(all()).open();
    for (const kid of [undefined, null, 1, true, {}, ['a'], 'x'.repeat(4000)])
      expect(await outcome(verifier, await signerOf('EdDSA').sign({}, { kid }))).toBe('invalid');
  });

  test('that brings its own key by jwk, jku, x5u or x5c, and nobody fetches anything', async () => {
    const { state, open } = world(all());
    const verifier = open();
    const fetching = vi.spyOn(globalThis, 'fetch');
    const attacker = await newSigner('ES256');
    const kid = signerOf('ES256').kid;
    for (const extra of [
      { jwk: attacker.jwk },
      { jku: 'https://attacker.example/jwks.json' },
      { x5u: 'https://attacker.example/cert.pem' },
      { x5c: ['MIIB'] },
    ]) {
      expect(await outcome(verifier, await attacker.sign({}, { kid, ...extra }))).toBe('invalid');
      expect(await outcome(verifier, await attacker.sign({}, extra))).toBe('invalid');
      // The same headers around a good signature of ours do no harm.
      expect(await outcome(verifier, await signerOf('ES256').sign({}, extra))).toBe('ok');
    }
    expect(fetching).not.toHaveBeenCalled();
    expect(state.keyFetches).toBe(1);
    fetching.mockRestore();
  });

  test('with a critical header that we do not know', async () => {
    const verifier = world(all()).open();
    const token = await signerOf('ES256').sign();
    const [, payload, signature] = token.split('.');
    const header = { alg: 'ES256', kid: signerOf('ES256').kid, typ: 'at+jwt', crit: ['exp'], exp: 1 };
    const head = Buffer.from(JSON.stringify(header)).toString('base64url');
    expect(await outcome(verifier, `${head}.${payload}.${signature}`)).toBe('invalid');
  });

  test.each([
    ['an ID token (typ JWT)', {}, { typ: 'JWT' }],
    ['no typ', {}, { typ: undefined }],
    ['another typ', {}, { typ: 'dpop+jwt' }],
    ['another issuer', { iss: 'https://evil.example' }, {}],
    ['an issuer that only begins like ours', { iss: `${issuer}.evil.example` }, {}],
    ['no issuer', { iss: undefined }, {}],
    ['another audience', { aud: 'other' }, {}],
    ['no audience', { aud: undefined }, {}],
    ['an expiry in the past', { exp: nowSeconds() - 10 }, {}],
    ['no expiry', { exp: undefined }, {}],
    ['an expiry that is a text', { exp: '99999999999' as unknown as number }, {}],
    ['no issue time', { iat: undefined }, {}],
    ['an issue time in the future', { iat: nowSeconds() + 60 }, {}],
    ['nbf in the future', { nbf: nowSeconds() + 60 }, {}],
    ['no subject', { sub: undefined }, {}],
    ['an empty subject', { sub: '' }, {}],
    ['a subject that is a number', { sub: 1 as unknown as string }, {}],
    ['no session', { sid: undefined }, {}],
    ['a session that is a list', { sid: ['a'] }, {}],
    ['no tenant', { tenant_id: undefined }, {}],
    ['a tenant that is null', { tenant_id: null }, {}],
    ['no token id', { jti: undefined }, {}],
    ['no roles', { roles: undefined }, {}],
    ['roles that are a text', { roles: 'PLATFORM_ADMIN' }, {}],
    ['roles that are no texts', { roles: [{}] }, {}],
    ['a scope that is a list', { scope: ['a'] }, {}],
  ] as const)('with %s', async (_what, claims, header) => {
    const { state, open } = world(all());
    const verifier = open();
    for (const signer of allSigners()) {
      expect(await outcome(verifier, await signer.sign({ ...claims } as JWTPayload, header))).toBe('invalid');
    }
    expect(state.questions).toEqual([]);
  });

  test('when it is no token at all', async () => {
    const verifier = world(all()).open();
    for (const text of [
      '',
      '.',
      '..',
      'a.b.c',
      'null',
      '{}',
      `${none}..`,
      '\u0000',
      'ü.ü.ü',
      '.'.repeat(9000),
      'a'.repeat(1e6),
    ])
      expect(await outcome(verifier, text)).toBe('invalid');
  });

  test('from the moment it expires, also when it is remembered', async () => {
    const verifier = world(all()).open();
    const token = await signerOf('ES256').sign({ exp: nowSeconds() + 60 });
    expect(await outcome(verifier, token)).toBe('ok');
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 66_000 });
    expect(await outcome(verifier, token)).toBe('invalid');
  });

  test('when its RSA key is shorter than 2048 bits', async () => {
    const { publicKey } = await generateKeyPair('RS256', { extractable: true });
    const n = Buffer.alloc(128, 0xc3).toString('base64url');
    const verifier = world([{ ...(await exportJWK(publicKey)), n, kid: 'short' }]).open();
    expect(await outcome(verifier, await signerOf('RS256').sign({}, { kid: 'short' }))).toBe('invalid');
  });
});

describe('hard case 8: a claim is what the signer wrote', () => {
  test('reserved names beside it, and duplicates in headers, change nothing', async () => {
    const verifier = world(all()).open();
    const claims = {
      ...goodClaims(),
      userId: 'x',
      principal: { roles: ['PLATFORM_ADMIN'] },
      ['__proto__']: { roles: ['PLATFORM_ADMIN'] },
    };
    const verdict = await verifier.verify(
      await signerOf('EdDSA').sign(claims, { roles: ['PLATFORM_ADMIN'], sub: 'x' }),
    );
    expect(verdict).toMatchObject({ outcome: 'ok', principal: { userId: claims.sub, roles: ['USER'] } });
  });

  test('a principal cannot be changed by the one who got it', async () => {
    const verifier = world(all()).open();
    const token = await signerOf('EdDSA').sign();
    const verdict = await verifier.verify(token);
    if (verdict.outcome !== 'ok') throw new Error('not ok');
    expect(() => (verdict.principal.roles as string[]).push('PLATFORM_ADMIN')).toThrow(TypeError);
    expect(() => Object.assign(verdict.principal, { tenantId: 'x' })).toThrow(TypeError);
  });
});
