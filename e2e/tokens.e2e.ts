import { generateKeyPairSync } from 'node:crypto';
import { eventually } from '@gatehouse/kit/testing';
import { createRemoteJWKSet, exportJWK, generateKeyPair, jwtVerify, SignJWT } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { auditEvent, expectProblem, newPerson, type Platform, startPlatform } from './platform.ts';

// Contract §4 row by row, through the public API; hard cases 5 to 7.
let platform: Platform;

beforeAll(async () => {
  platform = await startPlatform({ env: { JWKS_MAX_AGE_SECONDS: '2', ACCESS_TOKEN_TTL_SECONDS: '600' } });
});
afterAll(() => platform?.close());

const as = (token: string) => ({ token });
const headerOf = (token: string) =>
  JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString());
const claimsOf = (token: string) =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
const me = async (token: string) => (await platform.api.get('/api/auth/me', as(token))).status;

describe('access tokens', () => {
  it('are at+jwt with every claim that the contract names', async () => {
    const person = await newPerson(platform.api);
    expect(headerOf(person.access_token)).toMatchObject({
      alg: 'RS256',
      typ: 'at+jwt',
      kid: expect.any(String),
    });
    const claims = claimsOf(person.access_token);
    for (const name of ['iss', 'sub', 'aud', 'exp', 'iat', 'jti', 'sid', 'tenant_id', 'roles', 'scope'])
      expect(claims).toHaveProperty(name);
    expect(claims.exp - claims.iat).toBe(600);
    expect(person).toMatchObject({ token_type: 'Bearer', expires_in: 600, session_id: claims.sid });
  });

  it('that somebody else made are refused: none, HMAC with the public key, other keys, other claims (hard case 5)', async () => {
    const person = await newPerson(platform.api);
    const { kid } = headerOf(person.access_token);
    const claims = claimsOf(person.access_token);
    const { body: jwks } = await platform.api.get('/.well-known/jwks.json');
    const publicKey = jwks.keys.find((key: { kid: string }) => key.kid === kid);
    const { privateKey: mine, publicKey: minePublic } = await generateKeyPair('RS256', { extractable: true });
    const jwk = await exportJWK(minePublic);
    const sign = (header: Record<string, unknown>, changes: Record<string, unknown> = {}) =>
      new SignJWT({ ...claims, ...changes })
        .setProtectedHeader({ alg: 'RS256', typ: 'at+jwt', kid, ...header } as never)
        .sign(mine);
    const hmac = await new SignJWT(claims)
      .setProtectedHeader({ alg: 'HS256', typ: 'at+jwt', kid })
      .sign(new TextEncoder().encode(JSON.stringify(publicKey)));
    const none = `${Buffer.from(JSON.stringify({ alg: 'none', typ: 'at+jwt', kid })).toString('base64url')}.${person.access_token.split('.')[1]}.`;
    const forged = [
      none,
      hmac,
      await sign({}),
      await sign({ jwk }),
      await sign({ jku: 'http://127.0.0.1:9/jwks.json' }),
      await sign({ x5u: 'http://127.0.0.1:9/cert.pem' }),
      await sign({ kid: '../../../../dev/null' }),
      await sign({ kid: "' or 1=1 --" }),
      await sign({ typ: 'JWT' }),
      await sign({}, { aud: 'other' }),
      await sign({}, { iss: 'https://evil.example' }),
      await sign({}, { exp: claims.iat - 10 }),
      person.access_token.replace(/\.[^.]+$/, '.AAAA'),
    ];
    for (const token of forged) expect(await me(token), token.slice(0, 80)).toBe(401);
    expect(await me(person.access_token)).toBe(200);
  });

  it('with a flood of unknown kids cost the token service next to nothing (hard case 7)', async () => {
    const person = await newPerson(platform.api);
    const { privateKey } = await generateKeyPair('ES256');
    const flood = await Promise.all(
      Array.from({ length: 200 }, (_, at) =>
        new SignJWT(claimsOf(person.access_token))
          .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: `unknown-${at}` })
          .sign(privateKey),
      ),
    );
    const asked = async () => {
      const text = await (await fetch(`${platform.urlOf('token')}/metrics`)).text();
      const lines = text
        .split('\n')
        .filter((line) => line.startsWith('auth_http_requests_total') && line.includes('verification-keys'));
      return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
    };
    const before = await asked();
    const statuses = await Promise.all(flood.map(me));
    expect(new Set(statuses)).toEqual(new Set([401]));
    // One fetch a cool-down in each process that verifies, and those that the passing of time asks for.
    expect((await asked()) - before).toBeLessThan(20);
  });
});

describe('JWKS', () => {
  it('is cacheable, answers 304 to its ETag, and holds no private member', async () => {
    const answer = await platform.api.get('/.well-known/jwks.json');
    expect(answer.headers.get('cache-control')).toBe('public, max-age=2');
    const etag = answer.headers.get('etag') ?? '';
    expect(etag).toMatch(/^"/);
    const again = await platform.api.get('/.well-known/jwks.json', { headers: { 'if-none-match': etag } });
    expect(again.status).toBe(304);
    for (const key of answer.body.keys) {
      expect(key).toMatchObject({ kid: expect.any(String), alg: 'RS256', use: 'sig', kty: 'RSA' });
      for (const member of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'k']) expect(key).not.toHaveProperty(member);
    }
  });

  it('rotation: published before it signs, and every token made before, during and after verifies (hard case 6)', async () => {
    const admin = as(await platform.adminToken());
    // A verifier outside, which learns the keys once and then never again within this test.
    const { body: known } = await platform.api.get('/.well-known/jwks.json');
    const kids = known.keys.map((key: { kid: string }) => key.kid);
    const person = await newPerson(platform.api);
    const rotated = await platform.api.post('/api/admin/keys/rotate', { reason: 'test' }, admin);
    expect(rotated.status, rotated.text).toBe(202);
    expect(kids).toContain(rotated.body.kid);
    expectProblem(
      rotated.body.signs_now
        ? await platform.api.post('/api/admin/keys/nothing/revoke', { reason: 'x' }, admin)
        : await platform.api.post('/api/admin/keys/rotate', { reason: 'again' }, admin),
      rotated.body.signs_now ? 404 : 409,
      rotated.body.signs_now ? 'not_found' : 'rotation_pending',
    );
    const old = headerOf(person.access_token).kid;
    let refresh_token = person.refresh_token;
    const tokens = [person.access_token];
    await eventually(async () => {
      const { body } = await platform.api.post('/api/auth/refresh', { refresh_token });
      refresh_token = body.refresh_token;
      tokens.push(body.access_token);
      return headerOf(body.access_token).kid === rotated.body.kid;
    }, 40_000);
    const keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', platform.url));
    for (const token of tokens) {
      expect(kids).toContain(headerOf(token).kid);
      await jwtVerify(token, keys, { audience: 'gatehouse' });
      expect(await me(token)).toBe(200);
    }
    const { body: listed } = await platform.api.get('/api/admin/keys', admin);
    const states = Object.fromEntries(
      listed.items.map((key: { kid: string; state: string }) => [key.kid, key.state]),
    );
    expect(states[old]).toBe('previous');
    expect(states[rotated.body.kid]).toBe('current');
    expect(Object.values(states)).toContain('next');
    await auditEvent(platform, { type: 'token.key.activated' });
  });
});

describe('keys from the environment (guide 004 §6)', () => {
  it('sign with JWT_KID, publish the others of OIDC_KEY_PAIRS, and refuse the rotation command', async () => {
    const pair = () =>
      generateKeyPairSync('rsa', {
        modulusLength: 2048,
        publicKeyEncoding: { type: 'spki', format: 'pem' },
        privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
      });
    const current = pair();
    const other = await startPlatform({
      env: {
        JWT_PRIVATE_KEY_PEM: current.privateKey.replaceAll('\n', '\\n'),
        JWT_PUBLIC_KEY_PEM: current.publicKey,
        JWT_KID: 'key-2026',
        OIDC_KEY_PAIRS: JSON.stringify([{ kid: 'key-2025', public_key_pem: pair().publicKey }]),
      },
    });
    try {
      const person = await newPerson(other.api);
      expect(headerOf(person.access_token)).toMatchObject({ alg: 'RS256', kid: 'key-2026' });
      expect((await other.api.get('/api/auth/me', as(person.access_token))).status).toBe(200);
      const { body } = await other.api.get('/.well-known/jwks.json');
      expect(body.keys.map((key: { kid: string }) => key.kid)).toEqual(
        expect.arrayContaining(['key-2026', 'key-2025']),
      );
      const rotated = await other.api.post(
        '/api/admin/keys/rotate',
        { reason: 'test' },
        as(await other.adminToken()),
      );
      expectProblem(rotated, 409, 'keys_from_environment');
    } finally {
      await other.close();
    }
  });
});
