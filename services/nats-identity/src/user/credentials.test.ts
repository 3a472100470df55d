import { createHash } from 'node:crypto';
import { createNkey } from '@gatehouse/nats-claims';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Actor } from '../testing.ts';
import { claimsOf, type IdentityGround, jwtOf, startIdentityGround } from './identity-testing.ts';

let ground: IdentityGround;
let accountId: string;
beforeAll(async () => {
  ground = await startIdentityGround(null, { NATS_CREDENTIAL_TTL_MAX_SECONDS: '5000000' });
  accountId = (await ground.account()).id;
}, 60_000);
afterAll(() => ground?.close());

const code = (answer: { status: number; body: { code?: string } }) => [answer.status, answer.body?.code];
const rows = <R extends Record<string, unknown>>(text: string, values: unknown[] = []) =>
  ground.service.platform.database.query<R>(text, values);
const states = async (userId: string) =>
  (await ground.ok('GET', `/credentials?user_id=${userId}`)).items.map(
    ({ state }: { state: string }) => state,
  );

describe('credentials', () => {
  test('live thirty days unless the call or the user says otherwise, and stand in the ledger', async () => {
    const user = await ground.user(accountId);
    const answer = await ground.ask('POST', `/users/${user.id}/credentials`, { reason: 'first' });
    expect(answer.status).toBe(201);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    const { credential, creds, jwt } = answer.body;
    expect(jwtOf(creds)).toBe(jwt);
    const claims = claimsOf(jwt);
    expect(claims).toMatchObject({
      sub: user.public_key,
      name: user.name,
      exp: claims.iat + 2_592_000,
      nats: { type: 'user', version: 2, subs: -1, data: -1, payload: -1 },
    });
    // A strict operator: never the identity key.
    const account = await ground.ok('GET', `/accounts/${accountId}`);
    expect(claims.nats.issuer_account).toBe(account.public_key);
    expect(account.signing_keys.map((key: { public_key: string }) => key.public_key)).toContain(claims.iss);
    const { items } = await ground.ok('GET', `/credentials?user_id=${user.id}`);
    expect(items).toEqual([{ ...credential, issued_at: expect.any(String) }]);
    expect(credential).toMatchObject({
      state: 'active',
      jti: claims.jti,
      jwt_sha256: createHash('sha256').update(jwt).digest('hex'),
      issuer_key: claims.iss,
      issued_by: ground.service.root.userId,
    });
    expect(await ground.service.told('natsid.credentials.issued', { credential_id: credential.id })).toEqual([
      {
        type: 'natsid.credentials.issued',
        tenant_id: null,
        data: expect.objectContaining({
          nats_user_id: user.id,
          public_key: user.public_key,
          bearer: false,
          reason: 'first',
          expires_at: credential.expires_at,
          actor_id: ground.service.root.userId,
        }),
      },
    ]);
  });

  test('live as long as the call says, else as the user says', async () => {
    const user = await ground.user(accountId, { ttl_seconds: 120 });
    const lifetime = (jwt: string) => claimsOf(jwt).exp - claimsOf(jwt).iat;
    expect(lifetime((await ground.issue(user.id)).jwt)).toBe(120);
    expect(lifetime((await ground.issue(user.id, { ttl_seconds: 7 })).jwt)).toBe(7);
    const at = '2099-01-02T03:04:05Z';
    expect(claimsOf((await ground.issue(user.id, { expires_at: at })).jwt).exp).toBe(Date.parse(at) / 1000);
    expect(claimsOf((await ground.issue(user.id, { never_expires: true })).jwt).exp).toBeUndefined();
    const issue = (body: object) => ground.ask('POST', `/users/${user.id}/credentials`, body);
    expect(code(await issue({ expires_at: '2001-01-01T00:00:00Z' }))).toEqual([400, 'invalid_request']);
    expect(code(await issue({ expires_at: at, ttl_seconds: 5 }))).toEqual([400, 'invalid_request']);
    expect(code(await issue({ ttl_seconds: 0 }))).toEqual([400, 'invalid_request']);
    expect(code(await issue({ ttl_seconds: 1e300 }))).toEqual([400, 'invalid_request']);
  });

  test('that outlive the platform’s greatest lifetime are for platform administrators', async () => {
    const admin = await ground.tenant();
    const account = await ground.account({}, admin);
    const user = await ground.user(account.id);
    const issue = (body: object) => ground.ask('POST', `/users/${user.id}/credentials`, body, admin);
    expect((await issue({ ttl_seconds: 5_000_000 })).status).toBe(201);
    for (const body of [
      { ttl_seconds: 5_000_001 },
      { never_expires: true },
      { expires_at: '2099-01-01T00:00:00Z' },
    ])
      expect(code(await issue(body))).toEqual([403, 'forbidden']);
    const change = await ground.ask('PATCH', `/users/${user.id}`, { ttl_seconds: 5_000_001 }, admin);
    expect(code(change)).toEqual([403, 'forbidden']);
  });

  test('of a user with its own key are a JWT only, and no seed is stored', async () => {
    const own = createNkey('user');
    const user = await ground.user(accountId, { public_key: own.publicKey });
    expect(user.seed).toBe('own');
    const { creds, jwt } = await ground.issue(user.id);
    expect([creds, claimsOf(jwt).sub]).toEqual([null, own.publicKey]);
    expect(await rows('select from natsid.secret where public_key = $1', [own.publicKey])).toEqual([]);
    const again = await ground.ask('POST', '/users', {
      account_id: accountId,
      name: 'the same key',
      public_key: own.publicKey,
    });
    expect(code(again)).toEqual([409, 'public_key_taken']);
    const wrong = `${own.publicKey.slice(0, -1)}${own.publicKey.endsWith('A') ? 'B' : 'A'}`;
    const answer = await ground.ask('POST', '/users', {
      account_id: accountId,
      name: 'w',
      public_key: wrong,
    });
    expect(code(answer)).toEqual([400, 'invalid_request']);
  });

  test('of a user with a role carry its tags and nothing else', async () => {
    const role = await ground.role(accountId, { pub: { allow: ['a.{{tag(team)}}'] } });
    const user = await ground.user(accountId, { role_id: role.id, claims: { tags: ['team:red'] } });
    const claims = claimsOf((await ground.issue(user.id)).jwt);
    expect(claims.iss).toBe(role.public_key);
    expect(Object.keys(claims.nats).sort()).toEqual(['issuer_account', 'tags', 'type', 'version']);
  });

  test('too large to connect with are refused when the user is made, with their size', async () => {
    const allow = Array.from({ length: 150 }, (_, at) => `a.rather.long.subject.${at}`);
    const answer = await ground.ask('POST', '/users', {
      account_id: accountId,
      name: 'large',
      claims: { pub: { allow } },
    });
    expect(code(answer)).toEqual([400, 'user_jwt_too_large']);
    expect(answer.body).toMatchObject({ bytes: expect.any(Number), bytes_max: 3400 });
    // One that an import brought is refused at issue.
    const user = await ground.user(accountId);
    await rows('update natsid.nats_user set claims = $2 where id = $1', [user.id, { pub: { allow } }]);
    const issued = await ground.ask('POST', `/users/${user.id}/credentials`, {});
    expect(code(issued)).toEqual([400, 'user_jwt_too_large']);
  });

  test('are not issued to a revoked user until it is restored, and then are newer than its revocation', async () => {
    const user = await ground.user(accountId);
    await ground.issue(user.id);
    const revoked = await ground.ok('POST', `/users/${user.id}/revoke`, { reason: 'lost laptop' });
    expect(revoked).toMatchObject({
      state: 'revoked',
      change: { affected: { users: 1, disconnects: true } },
    });
    expect(await states(user.id)).toEqual(['revoked']);
    const refused = await ground.ask('POST', `/users/${user.id}/credentials`, {});
    expect(code(refused)).toEqual([409, 'user_revoked']);
    expect((await ground.ok('POST', `/users/${user.id}/restore`, {})).state).toBe('active');
    const { iat } = claimsOf((await ground.issue(user.id)).jwt);
    const account = await ground.ok('GET', `/accounts/${accountId}`);
    expect(iat).toBeGreaterThan(claimsOf(account.jwt).nats.revocations[user.public_key]);
    expect(await states(user.id)).toEqual(['active', 'revoked']);
    // Within the same second: this revocation must reach what has an iat ahead of the clock.
    await ground.ok('POST', `/users/${user.id}/revoke`, {});
    const after = await ground.ok('GET', `/accounts/${accountId}`);
    expect(claimsOf(after.jwt).nats.revocations[user.public_key]).toBeGreaterThanOrEqual(iat);
    expect(await states(user.id)).toEqual(['revoked', 'revoked']);
  });

  test('that supersede revoke the earlier ones in the same change; others leave them as they are', async () => {
    const user = await ground.user(accountId);
    await ground.issue(user.id);
    await ground.issue(user.id);
    expect(await states(user.id)).toEqual(['active', 'active']);
    const dry = await ground.ok('POST', `/users/${user.id}/credentials?dry_run=true`, { supersede: true });
    expect(dry).toMatchObject({ creds: null, jwt: null, change: { affected: { disconnects: true } } });
    expect(await states(user.id)).toEqual(['active', 'active']);
    const { jwt, change } = await ground.issue(user.id, { supersede: true });
    expect(change.affected).toMatchObject({ accounts: 1, users: 1, disconnects: true });
    expect(await states(user.id)).toEqual(['active', 'superseded', 'superseded']);
    const account = await ground.ok('GET', `/accounts/${accountId}`);
    expect(claimsOf(jwt).iat).toBe(claimsOf(account.jwt).nats.revocations[user.public_key] + 1);
  });

  test('that need a signing key made first: a dry run makes none, the issue does', async () => {
    const account = await ground.account();
    const user = await ground.user(account.id);
    await rows('delete from natsid.account_key where account_id = $1', [account.id]);
    const keys = () => rows('select id from natsid.account_key where account_id = $1', [account.id]);
    const dry = await ground.ok('POST', `/users/${user.id}/credentials?dry_run=true`, {});
    expect(dry).toMatchObject({ creds: null, jwt: null, change: { dry_run: true } });
    expect(await keys()).toEqual([]);
    expect(await states(user.id)).toEqual([]);
    expect((await ground.ask('POST', `/users/${user.id}/credentials`, {})).status).toBe(201);
    expect(await keys()).toHaveLength(1);
  });

  test('of a dry run are checked and neither written nor handed out', async () => {
    const user = await ground.user(accountId);
    const answer = await ground.ok('POST', `/users/${user.id}/credentials?dry_run=true`, {});
    expect(answer).toMatchObject({ creds: null, jwt: null, change: { dry_run: true } });
    expect(await states(user.id)).toEqual([]);
    expect(await ground.service.told('natsid.credentials.issued', { nats_user_id: user.id })).toEqual([]);
  });

  test('of bearer users are refused where the account refuses bearers', async () => {
    const account = await ground.account();
    const role = await ground.role(account.id, { bearer_token: true });
    const scoped = await ground.user(account.id, { role_id: role.id });
    const plain = await ground.user(account.id, { claims: { bearer_token: true } });
    await ground.ok('PATCH', `/accounts/${account.id}`, { claims: { limits: { disallow_bearer: true } } });
    for (const user of [scoped, plain])
      expect(code(await ground.ask('POST', `/users/${user.id}/credentials`, {}))).toEqual([
        400,
        'invalid_claims',
      ]);
    const made = { account_id: account.id, name: 'bearer' };
    for (const [path, body] of [
      ['/users', { ...made, claims: { bearer_token: true } }],
      ['/roles', { ...made, template: { bearer_token: true } }],
    ] as const)
      expect(code(await ground.ask('POST', path, body))).toEqual([400, 'invalid_claims']);
  });

  test('of an account that is not active, or with no key to sign them, are refused', async () => {
    const account = await ground.account();
    const role = await ground.role(account.id);
    const user = await ground.user(account.id, { role_id: role.id });
    await rows('update natsid.account_key set secret_id = null where id = $1', [role.id]);
    const issue = () => ground.ask('POST', `/users/${user.id}/credentials`, {});
    expect(code(await issue())).toEqual([409, 'no_signing_key']);
    await rows(
      `update natsid.account set state = 'locked', state_due_at = now() + interval '1 day' where id = $1`,
      [account.id],
    );
    expect(code(await issue())).toEqual([409, 'account_not_active']);
  });
});

describe('racing', () => {
  test('issues of many users and of one are all written, each once', async () => {
    const users = await Promise.all([1, 2, 3].map(() => ground.user(accountId)));
    const other = await ground.account();
    users.push(await ground.user(other.id));
    const issued = await Promise.all(
      Array.from({ length: 200 }, (_, at) => ground.issue(users[at % users.length].id)),
    );
    const ids = issued.map(({ credential }) => credential.id);
    expect(new Set(ids).size).toBe(200);
    const [ledger] = await rows<{ count: number; told: number }>(
      `select (select count(*)::int from natsid.credential where id = any($1)) as count,
        (select count(*)::int from natsid.outbox where type = 'natsid.credentials.issued'
          and data ->> 'credential_id' = any($1::text[])) as told`,
      [ids],
    );
    expect(ledger).toEqual({ count: 200, told: 200 });
  });

  test('an issue with revoke-all: whatever was handed out is either revoked or newer', async () => {
    const account = await ground.account();
    const user = await ground.user(account.id);
    await ground.issue(user.id);
    for (let round = 0; round < 5; round += 1) {
      const issues = Array.from({ length: 20 }, () =>
        ground.ask('POST', `/users/${user.id}/credentials`, {}),
      );
      const revoke = ground.ok('POST', `/accounts/${account.id}/revocations`, { public_key: '*' });
      const answers = await Promise.all(issues);
      await revoke;
      const { jwt } = await ground.ok('GET', `/accounts/${account.id}`);
      const before = claimsOf(jwt).nats.revocations['*'];
      for (const { status, body } of answers) {
        expect([201, 409]).toContain(status);
        if (status === 409) continue;
        const [row] = await rows<{ revoked: boolean }>(
          'select revoked_at is not null as revoked from natsid.credential where id = $1',
          [body.credential.id],
        );
        expect(row?.revoked).toBe(claimsOf(body.jwt).iat <= before);
      }
    }
  });

  test('an issue with the deletion of its user: nothing that was handed out stays valid', async () => {
    const account = await ground.account();
    for (let round = 0; round < 5; round += 1) {
      const user = await ground.user(account.id);
      const issues = Array.from({ length: 10 }, () =>
        ground.ask('POST', `/users/${user.id}/credentials`, {}),
      );
      const deleted = ground.ok('DELETE', `/users/${user.id}`);
      const answers = await Promise.all(issues);
      await deleted;
      const issued = answers.filter(({ status }) => status === 201);
      const { jwt } = await ground.ok('GET', `/accounts/${account.id}`);
      for (const { body } of issued)
        expect(claimsOf(body.jwt).iat).toBeLessThanOrEqual(claimsOf(jwt).nats.revocations[user.public_key]);
    }
  });
});

test('seeds, creds and JWTs stand in no event, no list, no problem and no table in the clear', async () => {
  const account = await ground.account();
  const user = await ground.user(account.id, { claims: { bearer_token: true } });
  const { creds, jwt } = await ground.issue(user.id, { reason: 'scan' });
  const seed = /S[A-Z2-7]{57}/.exec(creds)?.[0] ?? '';
  const secrets = [seed, jwt, jwt.split('.')[2] ?? ''];
  // One after the other: credentials are issued to nobody who was revoked before.
  const asked = [
    ['GET', `/users?account_id=${account.id}`],
    ['GET', `/users/${user.id}`],
    ['GET', `/credentials?user_id=${user.id}`],
    ['GET', `/accounts/${account.id}`],
    ['POST', `/users/${user.id}/credentials`, { ttl_seconds: -1, seed }],
    ['PATCH', `/users/${user.id}`, { claims: { unknown: jwt } }],
    ['POST', '/users', { account_id: account.id, name: user.name }],
    ['POST', `/users/${user.id}/revoke`, {}],
    ['POST', `/users/${user.id}/credentials`, {}],
    ['DELETE', `/users/${user.id}`],
  ] as const;
  const answers = [];
  for (const [method, path, body] of asked) answers.push(await ground.ask(method, path, body));
  const stored = await rows<{ row: string }>(
    `select o.data::text as row from natsid.outbox o
     union all select c::text from natsid.credential c union all select u::text from natsid.nats_user u
     union all select s::text from natsid.secret s union all select r::text from natsid.revocation r`,
  );
  const text = [...answers.map((one) => one.text), ...stored.map(({ row }) => row)].join('\n');
  for (const secret of secrets) expect(text).not.toContain(secret);
  expect(text).not.toMatch(/S[OAU][A-Z2-7]{56}/);
});

describe('another tenant', () => {
  let owner: Actor;
  let stranger: Actor;
  beforeAll(async () => {
    [owner, stranger] = [await ground.tenant(), await ground.tenant()];
  });

  test('finds none of it: 404 on every route, and empty lists', async () => {
    const account = await ground.account({}, owner);
    const role = await ground.role(account.id);
    const user = await ground.user(account.id, { role_id: role.id });
    await ground.issue(user.id, {}, owner);
    const key = user.public_key;
    const routes: readonly (readonly [string, string, object?])[] = [
      ['GET', `/roles/${role.id}`],
      ['PATCH', `/roles/${role.id}`, { description: 'x' }],
      ['DELETE', `/roles/${role.id}`],
      ['POST', '/roles', { account_id: account.id, name: 'r' }],
      ['GET', `/users/${user.id}`],
      ['PATCH', `/users/${user.id}`, { name: 'x' }],
      ['DELETE', `/users/${user.id}`],
      ['POST', '/users', { account_id: account.id, name: 'u' }],
      ['POST', `/users/${user.id}/credentials`, {}],
      ['POST', `/users/${user.id}/credentials`, { supersede: true }],
      ['POST', `/users/${user.id}/revoke`, {}],
      ['POST', `/users/${user.id}/restore`, {}],
      ['GET', `/accounts/${account.id}/revocations`],
      ['POST', `/accounts/${account.id}/revocations`, { public_key: '*' }],
      ['DELETE', `/accounts/${account.id}/revocations/${key}`],
    ];
    for (const [method, path, body] of routes)
      expect([method, path, ...code(await ground.ask(method, path, body, stranger))]).toEqual([
        method,
        path,
        404,
        'not_found',
      ]);
    for (const list of ['roles', 'users', 'credentials'])
      for (const filter of ['', `?account_id=${account.id}`])
        expect((await ground.ok('GET', `/${list}${filter}`, undefined, stranger)).items).toEqual([]);
    // A role of a foreign account is no role for an own user.
    const own = await ground.account({}, stranger);
    const borrowed = { account_id: own.id, name: 'u', role_id: role.id };
    expect(code(await ground.ask('POST', '/users', borrowed, stranger))).toEqual([404, 'not_found']);
    expect(
      (await ground.ok('GET', '/users', undefined, owner)).items.map(({ id }: { id: string }) => id),
    ).toEqual([user.id]);
  });

  test('and a plain user may do nothing here', async () => {
    const person = await ground.service.person();
    for (const path of ['/roles', '/users', '/credentials'])
      expect(code(await ground.ask('GET', path, undefined, person))).toEqual([403, 'forbidden']);
  });
});
