import { randomUUID } from 'node:crypto';
import type { JWTPayload } from 'jose';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from './testing.ts';
import { all, closeVerifiers, makeSigners, outcome, signerOf, world } from './verifier-testing.ts';

beforeAll(makeSigners);
afterEach(closeVerifiers);

describe('revocation', () => {
  async function signedIn(claims: JWTPayload = {}) {
    const { state, open } = world(all());
    const sid = randomUUID();
    const userId = randomUUID();
    const token = await signerOf('EdDSA').sign({ sid, sub: userId, ...claims });
    const verifier = open();
    expect(await outcome(verifier, token)).toBe('ok');
    return { state, verifier, sid, userId, token };
  }

  test('a fresh feed is believed and nobody is asked', async () => {
    const { state, verifier, sid, token } = await signedIn();
    state.revoked.add(sid);
    expect(await outcome(verifier, token)).toBe('revoked');
    state.revoked.clear();
    expect(await outcome(verifier, token)).toBe('ok');
    expect(state.questions).toEqual([]);
  });

  test('a stale feed makes every request ask, and what it learns is kept for nobody', async () => {
    const { state, verifier, sid, token } = await signedIn();
    state.fresh = false;
    expect(await outcome(verifier, token)).toBe('ok');
    state.status = async () => ({ active: false, roles: [] });
    expect(await outcome(verifier, token)).toBe('revoked');
    expect(await outcome(verifier, token)).toBe('revoked');
    state.status = async () => ({ active: true, roles: ['USER'] });
    expect(await outcome(verifier, token)).toBe('ok');
    expect(state.questions).toEqual([sid, sid, sid, sid]);
  });

  test('what is known to be revoked needs no question, however stale the feed', async () => {
    const { state, verifier, sid, token } = await signedIn();
    state.fresh = false;
    state.revoked.add(sid);
    expect(await outcome(verifier, token)).toBe('revoked');
    expect(state.questions).toEqual([]);
  });

  test('a withdrawn key kills what it signed at once, remembered or not, however fresh the feed', async () => {
    const { state, verifier, token } = await signedIn();
    const signer = signerOf('EdDSA');
    state.revokedKeys.add(signer.jwk.kid ?? '');
    expect(await outcome(verifier, token)).toBe('revoked');
    expect(await outcome(verifier, await signer.sign({ sid: randomUUID() }))).toBe('revoked');
    expect(await outcome(verifier, await signerOf('ES256').sign({ sid: randomUUID() }))).toBe('ok');
  });

  test('a session revoked while the question was on its way is revoked', async () => {
    const { state, verifier, sid, token } = await signedIn();
    state.fresh = false;
    state.status = async () => {
      state.revoked.add(sid);
      return { active: true, roles: ['USER'] };
    };
    expect(await outcome(verifier, token)).toBe('revoked');
  });

  test('nobody to ask: unavailable, never ok and never revoked', async () => {
    const { state, verifier, token } = await signedIn();
    state.fresh = false;
    state.status = () => Promise.reject(new Error('token did not answer'));
    expect(await outcome(verifier, token)).toBe('unavailable');
    state.fresh = true;
    expect(await outcome(verifier, token)).toBe('ok');
  });

  test('requests of one session that come together share one question, others have their own', async () => {
    const { state, verifier, sid, token } = await signedIn();
    const other = randomUUID();
    const otherToken = await signerOf('EdDSA').sign({ sid: other });
    expect(await outcome(verifier, otherToken)).toBe('ok');
    state.fresh = false;
    state.status = (asked) =>
      new Promise((resolve) => setTimeout(resolve, 20, { active: asked === sid, roles: ['USER'] }));
    const outcomes = await Promise.all(
      [token, otherToken, token, otherToken].map((one) => outcome(verifier, one)),
    );
    expect(outcomes).toEqual(['ok', 'revoked', 'ok', 'revoked']);
    expect(state.questions.toSorted()).toEqual([sid, other].toSorted());
  });

  test('a question that is older than a revocation may be is shared no more', async () => {
    const { state, verifier, token } = await signedIn();
    state.fresh = false;
    let answerFirst: (() => void) | undefined;
    state.status = () =>
      new Promise((resolve) => {
        answerFirst = () => resolve({ active: true, roles: ['USER'] });
      });
    const first = outcome(verifier, token);
    await eventually(() => answerFirst !== undefined);
    const asked = performance.now();
    await eventually(() => performance.now() - asked > 220);
    state.status = async () => ({ active: false, roles: [] });
    expect(await outcome(verifier, token)).toBe('revoked');
    answerFirst?.();
    expect(await first).toBe('ok');
  });

  test('changed roles replace those of the token at once, from the feed and from the database', async () => {
    const { state, verifier, userId, token } = await signedIn({ roles: ['ADMIN', 'USER'] });
    const rolesNow = async () => {
      const verdict = await verifier.verify(token);
      return verdict.outcome === 'ok' ? verdict.principal.roles : verdict.outcome;
    };
    expect(await rolesNow()).toEqual(['ADMIN', 'USER']);
    state.roles.set(userId, ['USER']);
    expect(await rolesNow()).toEqual(['USER']);
    state.fresh = false;
    state.status = async () => ({ active: true, roles: [] });
    expect(await rolesNow()).toEqual([]);
    state.fresh = true;
    state.roles.delete(userId);
    expect(await rolesNow()).toEqual(['ADMIN', 'USER']);
  });
});
