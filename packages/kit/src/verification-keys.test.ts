import { randomUUID } from 'node:crypto';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from './testing.ts';
import { all, closeVerifiers, makeSigners, newSigner, outcome, signerOf, world } from './verifier-testing.ts';

beforeAll(makeSigners);
afterEach(closeVerifiers);

describe('hard case 6: keys', () => {
  const maxAge = { jwksMaxAgeSeconds: 1, keyCoolDownSeconds: 0.1 };

  test('tokens of the old and the new key verify all through a rotation, those of a retired key die with the next fetch', async () => {
    const [old, next] = [await newSigner('RS256'), await newSigner('ES256')];
    const { state, open } = world([old.jwk]);
    const verifier = open(maxAge);
    const before = await old.sign();
    expect(await outcome(verifier, before)).toBe('ok');
    // Published, and not yet signing for as long as a cache may be old.
    state.keys = [old.jwk, next.jwk];
    const fetches = state.keyFetches;
    await eventually(async () => {
      expect(await outcome(verifier, await old.sign())).toBe('ok');
      return state.keyFetches > fetches;
    });
    expect(await outcome(verifier, await next.sign())).toBe('ok');
    expect(await outcome(verifier, before)).toBe('ok');
    state.keys = [next.jwk];
    await eventually(async () => (await outcome(verifier, before)) === 'invalid');
    expect(await outcome(verifier, await old.sign())).toBe('invalid');
    expect(await outcome(verifier, await next.sign())).toBe('ok');
  });

  test('a key replaced under the same kid does not keep the old tokens alive', async () => {
    const old = await newSigner('ES256', 'same');
    const replaced = await newSigner('ES256', 'same');
    const { state, open } = world([old.jwk]);
    const verifier = open(maxAge);
    const token = await old.sign();
    expect(await outcome(verifier, token)).toBe('ok');
    state.keys = [replaced.jwk];
    await eventually(async () => (await outcome(verifier, token)) === 'invalid');
    expect(await outcome(verifier, await replaced.sign())).toBe('ok');
  });

  test('an unreachable token service: the known keys serve one max age longer, then nothing can be said', async () => {
    const signer = signerOf('ES256');
    const { state, open } = world([signer.jwk]);
    const verifier = open(maxAge);
    const token = await signer.sign();
    expect(await outcome(verifier, token)).toBe('ok');
    state.down = true;
    const begun = performance.now();
    await eventually(async () => (await outcome(verifier, token)) === 'unavailable');
    expect(performance.now() - begun).toBeGreaterThan(1000);
    state.down = false;
    await eventually(async () => (await outcome(verifier, token)) === 'ok');
  });

  test('without any keys yet nothing can be said, and the first that come are used', async () => {
    const signer = signerOf('ES256');
    const { state, open } = world([signer.jwk]);
    state.down = true;
    const verifier = open();
    const token = await signer.sign();
    for (let n = 0; n < 50; n += 1) expect(await outcome(verifier, token)).toBe('unavailable');
    expect(state.keyFetches).toBe(1);
    state.down = false;
    await eventually(async () => (await outcome(verifier, token)) === 'ok');
  });

  test('a faulty key in the set costs only itself', async () => {
    const signer = signerOf('ES256');
    const faulty = [
      {},
      { kid: 'a', kty: 'RSA' },
      { ...signer.jwk, kid: 'b', x: '!' },
      { ...signer.jwk, kid: 'c', use: 'enc' },
    ];
    const verifier = world([...faulty, signer.jwk]).open();
    expect(await outcome(verifier, await signer.sign())).toBe('ok');
    expect(await outcome(verifier, await signer.sign({}, { kid: 'c' }))).toBe('invalid');
  });
});

describe('hard case 7: unknown kids', () => {
  test('a flood of them costs one key fetch in a cool-down, and good tokens pass meanwhile', async () => {
    const { state, open } = world(all());
    const verifier = open({ keyCoolDownSeconds: 0.5 });
    const good = await signerOf('ES256').sign();
    expect(await outcome(verifier, good)).toBe('ok');
    const junk = await Promise.all(
      Array.from({ length: 200 }, () => signerOf('EdDSA').sign({}, { kid: randomUUID() })),
    );
    const begun = performance.now();
    while (performance.now() - begun < 1600) {
      const outcomes = await Promise.all(junk.map((token) => outcome(verifier, token)));
      expect(new Set(outcomes)).toEqual(new Set(['invalid']));
      expect(await outcome(verifier, good)).toBe('ok');
    }
    // The first one, and one each half second: at most one more than had room, since the last may have been under way.
    expect(state.keyFetches).toBeGreaterThanOrEqual(3);
    expect(state.keyFetches).toBeLessThanOrEqual((performance.now() - begun) / 500 + 2);
  });

  test('while the token service is away they are not called invalid, and ask as seldom', async () => {
    const { state, open } = world(all());
    const verifier = open({ keyCoolDownSeconds: 0.2 });
    expect(await outcome(verifier, await signerOf('ES256').sign())).toBe('ok');
    state.down = true;
    const token = await signerOf('ES256').sign({}, { kid: 'new' });
    await eventually(async () => (await outcome(verifier, token)) === 'unavailable');
    const outcomes = await Promise.all(Array.from({ length: 100 }, () => outcome(verifier, token)));
    expect(new Set(outcomes)).toEqual(new Set(['unavailable']));
    expect(state.keyFetches).toBe(2);
  });
});
