import { eventually, goodPassword } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startAuth, type TestAuth } from './testing.ts';

let auth: TestAuth;
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(() => auth?.close());

const next = 'AnotherPassword456';
const change = (token: string, old_password = goodPassword, new_password = next) =>
  auth.platform.api.post('/api/auth/password', { old_password, new_password }, { token });
const codeOf = ({ status, body }: { status: number; body?: { code?: string } }) => [status, body?.code];

describe('changing the password', () => {
  it('ends all other sessions, keeps this one, and tells it', async () => {
    const person = await auth.person();
    const other = (await auth.login(person.email)).body;
    const answer = await change(person.token);
    expect([answer.status, answer.text]).toEqual([204, '']);
    expect(auth.token.live(person.userId)).toEqual([person.sessionId]);
    expect((await auth.platform.api.get('/api/auth/me', { token: person.token })).status).toBe(200);
    await eventually(async () =>
      expect((await auth.platform.api.get('/api/auth/me', { token: other.access_token })).status).toBe(401),
    );
    expect((await auth.login(person.email)).status).toBe(401);
    expect((await auth.login(person.email, next)).status).toBe(200);
    const told = await auth.told('auth.password.changed', { user_id: person.userId });
    expect(told).toMatchObject([{ data: { session_id: person.sessionId, client_ip: '127.0.0.1' } }]);
  });

  it('needs the old one, and a wrong one counts with the sign-ins', async () => {
    const person = await auth.person();
    for (let attempt = 0; attempt < 3; attempt += 1)
      expect(codeOf(await change(person.token, 'WrongPassword123'))).toEqual([401, 'invalid_credentials']);
    for (let attempt = 0; attempt < 2; attempt += 1) await auth.login(person.email, 'WrongPassword123');
    expect(codeOf(await auth.login(person.email))).toEqual([423, 'locked']);
    expect(codeOf(await change(person.token))).toEqual([423, 'locked']);
    const { userId: user_id } = person;
    expect(await auth.told('auth.password.change_refused', { user_id })).toHaveLength(3);
    expect(await auth.told('auth.lockout', { user_id, action: 'locked' })).toHaveLength(1);
  });

  it('answers five guesses of a parallel flood', async () => {
    const { token } = await auth.person();
    const answers = await Promise.all(Array.from({ length: 20 }, () => change(token, 'WrongPassword123')));
    expect(answers.map(({ status }) => status).sort()).toEqual([
      ...Array(5).fill(401),
      ...Array(15).fill(423),
    ]);
  });

  it('refuses a weak new one', async () => {
    const person = await auth.person();
    const answer = await change(person.token, goodPassword, 'password');
    expect(codeOf(answer)).toEqual([400, 'weak_password']);
    expect(answer.body.reasons).toHaveLength(1);
    expect(codeOf(await change(person.token, goodPassword, person.email))).toEqual([400, 'weak_password']);
  });

  it('of many at once makes one', async () => {
    const person = await auth.person();
    const passwords = Array.from({ length: 6 }, (_, at) => `AnotherPassword45${at}`);
    const answers = await Promise.all(
      passwords.map((password) => change(person.token, goodPassword, password)),
    );
    expect(answers.map(({ status }) => status).filter((status) => status === 204)).toHaveLength(1);
    expect(answers.every(({ status }) => [204, 401, 409].includes(status))).toBe(true);
    const won = passwords[answers.findIndex(({ status }) => status === 204)];
    expect((await auth.login(person.email, won)).status).toBe(200);
    expect(await auth.told('auth.password.changed', { user_id: person.userId })).toHaveLength(1);
  });

  it('that token did not hear of is said to be stored, and comes into force when token is back', async () => {
    const person = await auth.person();
    await auth.login(person.email);
    auth.token.down = true;
    const answer = await change(person.token);
    expect(codeOf(answer)).toEqual([503, 'upstream_unavailable']);
    expect(answer.body.stored).toBe(true);
    expect(auth.token.live(person.userId)).toHaveLength(2);
    auth.token.down = false;
    await eventually(() => expect(auth.token.live(person.userId)).toEqual([person.sessionId]));
    expect((await auth.login(person.email, next)).status).toBe(200);
    await eventually(async () =>
      expect(await auth.platform.database.query('select from auth.session_end')).toEqual([]),
    );
  });

  it('is for the person alone: without a token nothing, and the body names nobody', async () => {
    const body = { old_password: goodPassword, new_password: next };
    expect((await auth.platform.api.post('/api/auth/password', body)).status).toBe(401);
    const person = await auth.person();
    const named = await auth.platform.api.post(
      '/api/auth/password',
      { ...body, user_id: person.userId },
      { token: person.token },
    );
    expect(codeOf(named)).toEqual([400, 'invalid_request']);
  });
});

describe('who am I', () => {
  it('is answered from the token and the account', async () => {
    const person = await auth.person();
    const { body } = await auth.platform.api.get('/api/auth/me', { token: person.token });
    expect(body).toEqual({
      user_id: person.userId,
      tenant_id: person.tenantId,
      email: person.email,
      name: null,
      roles: ['USER'],
      permissions: [],
      session_id: person.sessionId,
      created_at: expect.stringMatching(/^\d{4}-.*Z$/),
    });
  });
});
