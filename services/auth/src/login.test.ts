import { createHash, randomUUID } from 'node:crypto';
import { eventually, goodPassword, newEmail } from '@gatehouse/kit/testing';
import { type AuthDatabase, connect } from '@gatehouse/schema';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startAuth, type TestAuth } from './testing.ts';

let auth: TestAuth;
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(() => auth?.close());

const wrong = 'WrongPassword123';
const codeOf = ({ status, body }: { status: number; body: { code?: string } }) => [status, body.code];
const lockoutOf = (email: string) =>
  auth.platform.database.query<{ failures: number; locked: boolean }>(
    `select failures, coalesce(locked_until > now(), false) as locked from auth.lockout
     where identity = sha256($1::bytea)`,
    [Buffer.from(email)],
  );

describe('signing in', () => {
  it('answers with tokens of a session, and tells it', async () => {
    const person = await auth.person();
    const answer = await auth.login(person.email.toUpperCase());
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({
      access_token: expect.any(String),
      refresh_token: expect.any(String),
      token_type: 'Bearer',
      expires_in: 900,
      session_id: expect.any(String),
    });
    expect(answer.headers.get('cache-control')).toBe('no-store');
    const told = await auth.told('auth.login.success', { session_id: answer.body.session_id });
    expect(told).toHaveLength(1);
    expect(told[0]?.data).toMatchObject({
      user_id: person.userId,
      email: person.email,
      client_ip: '127.0.0.1',
      strategy: 'password',
    });
  });

  it('answers alike for an unknown address, an unknown tenant, a wrong password, a locked and a disabled account', async () => {
    const [known, locked, disabled] = [await auth.person(), await auth.person(), await auth.person()];
    const set = 'update auth.user_account set status = $2 where id = $1';
    await auth.platform.database.query(set, [locked.userId, 'locked']);
    await auth.platform.database.query(set, [disabled.userId, 'disabled']);
    const answers = [
      await auth.login(known.email, wrong),
      await auth.login(newEmail(), goodPassword),
      await auth.login(known.email, goodPassword, randomUUID()),
      await auth.login(locked.email),
      await auth.login(disabled.email),
    ];
    for (const { status, body } of answers)
      expect({ status, body: { ...body, trace_id: '' } }).toEqual({
        status: 401,
        body: { ...answers[0]?.body, trace_id: '' },
      });
    const reasons = async (email: string) =>
      (await auth.told('auth.login.failure', { email })).map(({ data }) => data.reason);
    expect(await reasons(known.email)).toEqual(['wrong_password', 'unknown_tenant']);
    expect(await reasons(locked.email)).toEqual(['account_locked']);
    expect(await reasons(disabled.email)).toEqual(['account_disabled']);
  });

  it('refuses everybody of a disabled tenant', async () => {
    const tenantId = await auth.tenant();
    const person = await auth.person({ tenantId });
    await auth.platform.database.query(`update auth.tenant set status = 'disabled' where id = $1`, [
      tenantId,
    ]);
    expect((await auth.login(person.email, goodPassword, tenantId)).status).toBe(401);
  });

  it('keeps a made-up tenant out of the tenants of the audit', async () => {
    const email = newEmail();
    await auth.login(email, wrong, randomUUID());
    const [told] = await auth.told('auth.login.failure', { email });
    expect(told?.tenant_id).toBeNull();
  });

  it('tells of bodies that it cannot read', async () => {
    const before = (await auth.told('auth.login.failure', { reason: 'malformed' })).length;
    const api = auth.platform.api;
    const statuses = [
      (await api.post('/api/auth/login', '{"email":')).status,
      (await api.post('/api/auth/login', { email: 5 })).status,
      (await api.post('/api/auth/login', { email: newEmail(), password: goodPassword, roles: ['ADMIN'] }))
        .status,
      (await api.post('/api/auth/login', { email: newEmail(), password: 'a\ud800b' })).status,
      (await api.post('/api/auth/login', { email: newEmail(), password: 'x'.repeat(72_000) })).status,
      (await api.post('/api/auth/login', { email: newEmail(), password: 'x'.repeat(300_000) })).status,
      (await api.post('/api/auth/login', 'a=b', { headers: { 'content-type': 'text/plain' } })).status,
    ];
    expect(statuses).toEqual([400, 400, 400, 400, 400, 413, 415]);
    expect(await auth.told('auth.login.failure', { reason: 'malformed' })).toHaveLength(before + 7);
    expect(codeOf(await auth.login('two@example.com,three@example.com'))).toEqual([400, 'invalid_email']);
    expect(await auth.told('auth.login.failure', { reason: 'invalid_email' })).toHaveLength(1);
  });
});

describe('the lockout', () => {
  it.each([['known'], ['unknown']])(
    'locks an %s address after five failures, even for the right password',
    async (kind) => {
      const email = kind === 'known' ? (await auth.person()).email : newEmail();
      for (let attempt = 0; attempt < 5; attempt += 1)
        expect(codeOf(await auth.login(email, wrong))).toEqual([401, 'invalid_credentials']);
      for (const password of [wrong, goodPassword]) {
        const answer = await auth.login(email, password);
        expect(codeOf(answer)).toEqual([423, 'locked']);
        expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(890);
      }
      expect(await auth.told('auth.lockout', { email, action: 'locked', failures: 5 })).toHaveLength(1);
      expect(await auth.told('auth.login.failure', { email })).toHaveLength(5);
      expect(await auth.told('auth.login.blocked', { email })).toHaveLength(2);
    },
  );

  it.each([['known'], ['unknown']])(
    'answers five guesses of a parallel flood on an %s address, whatever the timing',
    async (kind) => {
      const email = kind === 'known' ? (await auth.person()).email : newEmail();
      const answers = await Promise.all(Array.from({ length: 40 }, () => auth.login(email, wrong)));
      const statuses = answers.map(({ status }) => status).sort();
      expect(statuses).toEqual([...Array(5).fill(401), ...Array(35).fill(423)]);
      expect(await lockoutOf(email)).toEqual([{ failures: 5, locked: true }]);
      expect(await auth.told('auth.lockout', { email })).toHaveLength(1);
    },
  );

  it('does not let the right password through a flood that locked the address', async () => {
    const { email, userId } = await auth.person();
    const guesses = Array.from({ length: 30 }, (_, at) =>
      auth.login(email, at % 2 === 0 ? wrong : goodPassword),
    );
    const answers = await Promise.all(guesses);
    const refused = answers.filter(({ status }) => status === 401).length;
    const [row] = await lockoutOf(email);
    // Each success sets the count to zero, so more than five may be answered; none after the lock.
    if (row?.locked) expect((await auth.login(email)).status).toBe(423);
    expect(answers.every(({ status }) => [200, 401, 423].includes(status))).toBe(true);
    const succeeded = answers.filter(({ status }) => status === 200).length;
    expect(refused).toBeLessThanOrEqual(5 * (succeeded + 1));
    expect(auth.token.live(userId).length).toBe(succeeded + 1);
  });

  it('that begins while the right password is being checked is stronger than it', async () => {
    const { email, userId } = await auth.person();
    await auth.login(email, wrong);
    const { url, query } = auth.platform.database;
    const { db, close } = connect<AuthDatabase>({ url, service: 'auth' });
    const identity = createHash('sha256').update(email).digest();
    // The failure that locks is committed only when the sign-in has got as far as the counter.
    const answer = await db.transaction().execute(async (tx) => {
      await tx
        .updateTable('lockout')
        .set({ failures: 5, locked_until: sql<Date>`now() + interval '15 minutes'` })
        .where('identity', '=', identity)
        .execute();
      const signingIn = auth.login(email);
      await eventually(async () => {
        const waiting = `select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`;
        expect(await query(waiting)).toHaveLength(1);
      });
      return { signingIn };
    });
    expect(codeOf(await answer.signingIn)).toEqual([423, 'locked']);
    expect(auth.token.live(userId)).toHaveLength(1);
    await close();
  });

  it('ends by itself, and counts anew from then', async () => {
    const { email } = await auth.person();
    for (let attempt = 0; attempt < 6; attempt += 1) await auth.login(email, wrong);
    expect((await auth.login(email)).status).toBe(423);
    await auth.platform.database.query(
      `update auth.lockout set locked_until = now() - interval '1 second' where identity = sha256($1::bytea)`,
      [Buffer.from(email)],
    );
    expect((await auth.login(email, wrong)).status).toBe(401);
    expect(await lockoutOf(email)).toEqual([{ failures: 1, locked: false }]);
    expect((await auth.login(email)).status).toBe(200);
  });

  it('forgets failures when their window has ended', async () => {
    const email = newEmail();
    for (let attempt = 0; attempt < 4; attempt += 1) await auth.login(email, wrong);
    await auth.platform.database.query(
      `update auth.lockout set window_started_at = now() - interval '16 minutes' where identity = sha256($1::bytea)`,
      [Buffer.from(email)],
    );
    await auth.login(email, wrong);
    expect(await lockoutOf(email)).toEqual([{ failures: 1, locked: false }]);
  });

  it('is cleared by a success of the same tenant and address only', async () => {
    const email = newEmail();
    const tenantId = await auth.tenant();
    await auth.person({ email });
    await auth.person({ email, tenantId });
    for (let attempt = 0; attempt < 4; attempt += 1) await auth.login(email, wrong);
    expect((await auth.login(email, goodPassword, tenantId)).status).toBe(200);
    expect((await lockoutOf(email)).map(({ failures }) => failures)).toEqual([4]);
    expect((await auth.login(email)).status).toBe(200);
    expect((await lockoutOf(email)).map(({ failures }) => failures)).toEqual([0]);
  });

  it('is not written for a success that nothing was counted before', async () => {
    const { email } = await auth.person();
    expect((await auth.login(email)).status).toBe(200);
    expect(await lockoutOf(email)).toEqual([]);
  });

  it('counts what differs only in spelling together', async () => {
    const { email } = await auth.person();
    const spellings = [
      email,
      email.toUpperCase(),
      ` ${email} `,
      email.replace('@', '＠'),
      email.replace('u', 'Ｕ'),
    ];
    for (const spelling of spellings) await auth.login(spelling, wrong);
    expect(await lockoutOf(email)).toEqual([{ failures: 5, locked: true }]);
  });
});

describe('signing in beside a token service', () => {
  it('that is away is 503, and says nothing of the password', async () => {
    const { email } = await auth.person();
    auth.token.down = true;
    const answer = await auth.login(email);
    auth.token.down = false;
    expect(codeOf(answer)).toEqual([503, 'upstream_unavailable']);
    expect(answer.headers.get('retry-after')).toBe('1');
    expect(await auth.told('auth.login.failure', { email, reason: 'upstream_unavailable' })).toHaveLength(1);
    expect((await auth.login(email)).status).toBe(200);
  });

  it('opens the session of a user whose role changed meanwhile with the new role', async () => {
    const { email, userId } = await auth.person();
    auth.token.beforeOpening = () => promote(userId);
    expect((await auth.login(email)).status).toBe(200);
    expect(auth.token.subjects.get(userId)).toMatchObject({ roles: ['USER', 'ADMIN'], version: 2 });
  });

  it('opens none for a user who was locked meanwhile', async () => {
    const { email, userId } = await auth.person();
    auth.token.beforeOpening = async () => {
      const admin = await adminToken();
      const path = `/api/admin/users/${userId}/lock`;
      expect((await auth.platform.api.post(path, { reason: 'test' }, { token: admin })).status).toBe(200);
    };
    expect((await auth.login(email)).status).toBe(401);
    expect(auth.token.live(userId)).toEqual([]);
  });

  it('opens none for the old password of a user who changed it meanwhile', async () => {
    const person = await auth.person();
    auth.token.beforeOpening = async () => {
      const body = { old_password: goodPassword, new_password: 'AnotherPassword456' };
      const { status } = await auth.platform.api.post('/api/auth/password', body, { token: person.token });
      expect(status).toBe(204);
    };
    expect((await auth.login(person.email)).status).toBe(401);
    expect(auth.token.live(person.userId)).toEqual([person.sessionId]);
    expect((await auth.login(person.email, 'AnotherPassword456')).status).toBe(200);
  });

  const adminToken = async () => (await auth.person({ role: 'PLATFORM_ADMIN' })).token;
  const promote = async (userId: string) => {
    const token = await adminToken();
    const body = { role: 'ADMIN', reason: 'test' };
    const { status } = await auth.platform.api.post(`/api/admin/users/${userId}/role`, body, { token });
    expect(status).toBe(200);
  };
});

describe('a password hash of other parameters', () => {
  it('is renewed after a sign-in', async () => {
    const { email, userId } = await auth.person();
    const hashOf = async () =>
      (
        await auth.platform.database.query<{ password_hash: string }>(
          'select password_hash from auth.user_account where id = $1',
          [userId],
        )
      )[0]?.password_hash ?? '';
    const { hashSync } = await import('@node-rs/argon2');
    await auth.platform.database.query('update auth.user_account set password_hash = $2 where id = $1', [
      userId,
      hashSync(goodPassword, { memoryCost: 512, timeCost: 2 }),
    ]);
    expect((await auth.login(email)).status).toBe(200);
    await eventually(async () => expect(await hashOf()).toContain('m=1024,t=1,p=1'));
    expect((await auth.login(email)).status).toBe(200);
  });
});
