import { createLog, questions, run } from '@gatehouse/kit';
import { eventually } from '@gatehouse/kit/testing';
import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { token } from './service.ts';
import { ADMIN, PLATFORM_ADMIN, startToken, type TestToken } from './testing.ts';

let service: TestToken;
let root: string;
beforeEach(async () => {
  service = await startToken({ JWKS_MAX_AGE_SECONDS: '300' });
  root = (await service.signIn({ roles: PLATFORM_ADMIN })).access;
});
afterEach(async () => {
  await service.platform.close();
});

interface Key {
  kid: string;
  algorithm: string;
  state: string;
  source: string;
  [time: string]: string | null;
}
const api = () => service.platform.api;
const sql = (text: string, values: unknown[] = []) => service.platform.database.query(text, values);
const keys = async (): Promise<Key[]> => (await api().get('/api/admin/keys', { token: root })).body.items;
const keysAs = (token: string) => api().get('/api/admin/keys', { token });
const inState = async (state: string) => (await keys()).filter((key) => key.state === state);
const only = async (state: string): Promise<Key> => {
  const [key, ...more] = await inState(state);
  if (key === undefined || more.length > 0)
    throw new Error(`${more.length + (key ? 1 : 0)} keys are ${state}`);
  return key;
};
const jwks = async (): Promise<JSONWebKeySet> => (await api().get('/.well-known/jwks.json')).body;
const published = async () => (await jwks()).keys.map(({ kid }) => kid);
const kidOf = (token: string): string =>
  JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()).kid;
const signingKid = async () => kidOf((await service.signIn()).access);
const rotate = (body: object = {}) =>
  api().post('/api/admin/keys/rotate', { reason: 'a drill', ...body }, { token: root });
/** As if the next key had been published long ago. */
const known = () =>
  sql(`update token.signing_key set published_at = now() - interval '1 hour' where state = 'next'`);

describe('managed keys', () => {
  test('on the first start: one signs at once, the next is published already, private halves lie sealed', async () => {
    const [current, next] = [await only('current'), await only('next')];
    expect(await signingKid()).toBe(current.kid);
    expect(new Set(await published())).toEqual(new Set([current.kid, next.kid]));
    expect(current).toMatchObject({
      algorithm: 'RS256',
      source: 'managed',
      activated_at: expect.any(String),
    });
    expect(next).toMatchObject({ activates_at: null, activated_at: null });
    const rows = await sql('select private_sealed, public_jwk from token.signing_key');
    for (const row of rows) {
      expect(row.private_sealed).toMatch(/^gs1\.k1\./);
      expect(Object.keys(row.public_jwk).sort()).toEqual(['alg', 'e', 'kid', 'kty', 'n', 'use']);
    }
    expect(await service.told('token.key.created')).toHaveLength(2);
    expect(await service.told('token.key.activated')).toMatchObject([{ data: { kid: current.kid } }]);
  });

  test('stay the same over a restart', async () => {
    const before = await keys();
    service = await service.restart();
    expect(await keys()).toEqual(before);
  });

  test('rotate at once when the next one is known, and the old one stays twice the life of a token', async () => {
    const [old, next] = [await only('current'), await only('next')];
    const token = (await service.signIn()).access;
    await known();
    const answer = await rotate();
    expect([answer.status, answer.body]).toEqual([
      202,
      { kid: next.kid, algorithm: 'RS256', activates_at: expect.any(String), signs_now: true },
    ]);
    expect(await signingKid()).toBe(next.kid);
    const previous = await only('previous');
    expect(previous.kid).toBe(old.kid);
    const [stay] = await sql(
      `select extract(epoch from retires_at - now())::int as seconds from token.signing_key where state = 'previous'`,
    );
    expect(Math.abs(stay?.seconds - 1800)).toBeLessThan(30);
    expect((await published()).sort()).toEqual([old.kid, next.kid, (await only('next')).kid].sort());
    expect((await api().get('/api/auth/sessions', { token })).status).toBe(200);
    expect(await service.told('token.key.rotation_requested')).toMatchObject([
      { data: { kid: next.kid, reason: 'a drill', actor_id: expect.any(String) } },
    ]);
  });

  test('wait until every verifier knows the next one, and only one rotation waits', async () => {
    const [old, next] = [await only('current'), await only('next')];
    const answer = await rotate();
    expect([answer.status, answer.body.kid, answer.body.signs_now]).toEqual([202, next.kid, false]);
    const wait = (Date.parse(answer.body.activates_at) - Date.now()) / 1000;
    expect(wait).toBeGreaterThan(300);
    expect(wait).toBeLessThan(330);
    expect(await signingKid()).toBe(old.kid);
    const second = await rotate();
    expect([second.status, second.body.code]).toEqual([409, 'rotation_pending']);
    await sql(`update token.signing_key set activates_at = now() where state = 'next'`);
    await eventually(async () => (await signingKid()) === next.kid, 15_000);
  });

  test('with another algorithm get another next key, which waits its time', async () => {
    await known();
    const passedOver = await only('next');
    const answer = await rotate({ algorithm: 'ES256' });
    expect([answer.status, answer.body.algorithm, answer.body.signs_now]).toEqual([202, 'ES256', false]);
    expect(answer.body.kid).not.toBe(passedOver.kid);
    expect(await published()).not.toContain(passedOver.kid);
    await sql(`update token.signing_key set activates_at = now() where state = 'next'`);
    await eventually(async () => (await signingKid()) === answer.body.kid, 15_000);
    const { access } = await service.signIn();
    expect((await jwtVerify(access, createLocalJWKSet(await jwks()))).protectedHeader.alg).toBe('ES256');
  });

  test('retire when their time is over: out of the JWKS, the private half forgotten, tokens refused', async () => {
    await known();
    const old = await only('current');
    await rotate();
    await sql(`update token.signing_key set retires_at = now() where state = 'previous'`);
    await eventually(async () => !(await published()).includes(old.kid), 15_000);
    const [row] = await sql(
      'select state, private_sealed, retired_at from token.signing_key where kid = $1',
      [old.kid],
    );
    expect(row).toEqual({ state: 'retired', private_sealed: null, retired_at: expect.any(Date) });
    expect(await service.told('token.key.retired')).toMatchObject([{ data: { kid: old.kid } }]);
  });

  test('rotate by themselves after KEY_ROTATION_DAYS', async () => {
    await known();
    const next = await only('next');
    await sql(
      `update token.signing_key set activated_at = now() - interval '91 days' where state = 'current'`,
    );
    await eventually(async () => (await signingKid()) === next.kid, 15_000);
    expect(await service.told('token.key.rotation_requested')).toMatchObject([
      { data: { reason: 'schedule', actor_id: null } },
    ]);
  });

  test('revoked in an emergency are gone at once, and the next one signs', async () => {
    const [old, next] = [await only('current'), await only('next')];
    const revoke = (kid: string, body: object = { reason: 'leaked' }) =>
      api().post(`/api/admin/keys/${kid}/revoke`, body, { token: root });
    expect((await revoke(old.kid, {})).body.code).toBe('reason_required');
    expect((await revoke('nobody')).status).toBe(404);
    const answer = await revoke(old.kid);
    expect([answer.status, answer.body]).toEqual([
      200,
      { kid: old.kid, state: 'retired', current_kid: next.kid },
    ]);
    expect(await published()).not.toContain(old.kid);
    expect(await signingKid()).toBe(next.kid);
    // What the key signed is refused at once, whatever JWKS a verifier holds.
    expect((await keysAs(root)).status).toBe(401);
    expect(await service.told('token.key.revoked')).toMatchObject([
      { data: { kid: old.kid, reason: 'leaked' } },
    ]);
    root = (await service.signIn({ roles: PLATFORM_ADMIN })).access;
    expect((await revoke(old.kid)).status).toBe(409);
  });

  test('are the business of platform administrators', async () => {
    const admin = await service.signIn({ roles: ADMIN });
    for (const [method, path] of [
      ['GET', '/api/admin/keys'],
      ['POST', '/api/admin/keys/rotate'],
      ['POST', `/api/admin/keys/${(await only('next')).kid}/revoke`],
    ] as const) {
      const body = method === 'GET' ? undefined : { reason: 'x' };
      expect((await api().request(method, path, body, { token: admin.access })).status).toBe(403);
    }
    expect((await rotate({ reason: '' })).body.code).toBe('reason_required');
  });
});

test('of several instances that start together one makes the keys, and all publish the same', async () => {
  const { env, database } = service.platform;
  await database.query('delete from token.signing_key');
  const log = createLog({ service: 'token', level: 'silent', pretty: false });
  const instances = await Promise.all([1, 2, 3].map(() => run([token], { env, log })));
  const sets = await Promise.all(
    instances.map(async ({ url }) => (await fetch(`${url}/.well-known/jwks.json`)).text()),
  );
  expect(new Set(sets).size).toBe(1);
  expect(await database.query('select state from token.signing_key order by state')).toEqual([
    { state: 'current' },
    { state: 'next' },
  ]);
  await Promise.all(instances.map(({ stop }) => stop()));
});

test('rotation under load: every token verifies on a verifier whose cache is at its maximum age', async () => {
  const people = await Promise.all(Array.from({ length: 8 }, () => service.signIn()));
  await known();
  // Cached at the last moment before the rotation, and kept as long as allowed.
  const cached = createLocalJWKSet(await jwks());
  const tokens: string[] = [];
  let rotating = true;
  const load = people.map(async ({ refresh }) => {
    let last = refresh;
    while (rotating) {
      const { status, body } = await service.refresh(last);
      expect(status).toBe(200);
      tokens.push(body.access_token);
      last = body.refresh_token;
    }
  });
  await eventually(() => tokens.length > 40);
  expect((await rotate()).body.signs_now).toBe(true);
  const before = tokens.length;
  await eventually(() => tokens.length > before + 40);
  rotating = false;
  await Promise.all(load);
  expect(new Set(tokens.map(kidOf)).size).toBe(2);
  for (const one of tokens) await jwtVerify(one, cached);
});

test('the health report names the signing keys, and their metrics are there', async () => {
  const { healthOf } = questions;
  const { components } = await service.ask(healthOf('token'), {});
  expect(components.find(({ name }) => name === 'signing_keys')).toMatchObject({
    status: 'healthy',
    details: { key_count: 2, current_kid: (await only('current')).kid, source: 'managed' },
  });
  const text = await service.platform.metrics.registry.metrics();
  expect(text).toMatch(/token_signing_keys\{state="current"\} 1/);
  expect(text).toMatch(/token_signing_key_age_seconds \d/);
});
