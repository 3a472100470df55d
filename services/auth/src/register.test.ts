import { randomUUID } from 'node:crypto';
import { goodPassword, newEmail } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startAuth, type TestAuth } from './testing.ts';

let auth: TestAuth;
beforeAll(async () => {
  auth = await startAuth();
});
afterAll(() => auth?.close());

const register = (body: unknown) => auth.platform.api.post('/api/auth/register', body);
const codeOf = ({ status, body }: { status: number; body: { code?: string } }) => [status, body.code];
const reasonsTold = async (email: string) =>
  (await auth.told('auth.register.failure', { email })).map(({ data }) => data.reason);

describe('registering', () => {
  it("takes guide 004's body word for word", async () => {
    const [tenant_id, user_id] = [await auth.tenant(), randomUUID()];
    const answer = await register(`{
  "tenant_id": "${tenant_id}",
  "user_id": "${user_id}",
  "email": "user@example.com",
  "password": "StrongPassword123"
}`);
    expect(answer.status).toBe(201);
    expect(answer.body).toEqual({ user_id, tenant_id, email: 'user@example.com', status: 'active' });
    expect(await auth.told('auth.register.success', { user_id })).toMatchObject([{ tenant_id }]);
  });

  it('needs no ids, and answers with the canonical address', async () => {
    const email = newEmail();
    const answer = await register({ email: ` ${email.toUpperCase()} `, password: goodPassword, name: 'Ada' });
    expect(answer.status).toBe(201);
    expect(answer.body).toMatchObject({ email, tenant_id: '00000000-0000-7000-8000-000000000001' });
    const rows = await auth.platform.database.query(
      'select email, name, role, status, password_hash from auth.user_account where id = $1',
      [answer.body.user_id],
    );
    expect(rows).toMatchObject([{ email, name: 'Ada', role: 'USER', status: 'active' }]);
    expect(rows[0]?.password_hash).toMatch(/^\$argon2id\$/);
  });

  it('refuses a weak password with the reasons, before any hash', async () => {
    const email = newEmail();
    const answer = await register({ email, password: 'password' });
    expect(codeOf(answer)).toEqual([400, 'weak_password']);
    expect(answer.body.reasons).toEqual([{ code: 'common', message: expect.any(String) }]);
    expect(codeOf(await register({ email, password: email }))).toEqual([400, 'weak_password']);
    expect(await reasonsTold(email)).toEqual(['weak_password', 'weak_password']);
    expect(answer.text).not.toContain('"password"');
  });

  it('refuses a tenant that is not there, is closed or is disabled', async () => {
    const [closed, disabled] = [await auth.tenant(), await auth.tenant()];
    const { query } = auth.platform.database;
    await query(`update auth.tenant set registration = 'closed' where id = $1`, [closed]);
    await query(`update auth.tenant set status = 'disabled' where id = $1`, [disabled]);
    const email = newEmail();
    const into = (tenant_id: string) => register({ tenant_id, email, password: goodPassword });
    expect(codeOf(await into(randomUUID()))).toEqual([404, 'unknown_tenant']);
    expect(codeOf(await into(closed))).toEqual([403, 'registration_closed']);
    expect(codeOf(await into(disabled))).toEqual([403, 'registration_closed']);
    expect(await reasonsTold(email)).toEqual([
      'unknown_tenant',
      'registration_closed',
      'registration_closed',
    ]);
  });

  it('gives an address once in a tenant, however it is spelt, and again in another tenant', async () => {
    const { email } = await auth.person();
    expect(codeOf(await register({ email: email.toUpperCase(), password: goodPassword }))).toEqual([
      409,
      'email_taken',
    ]);
    expect((await register({ tenant_id: await auth.tenant(), email, password: goodPassword })).status).toBe(
      201,
    );
  });

  it('does not say whose a taken user id is', async () => {
    const [own, foreign] = [await auth.person(), await auth.person({ tenantId: await auth.tenant() })];
    const answers = [];
    for (const { userId } of [own, foreign])
      answers.push(
        await register({ user_id: userId.toUpperCase(), email: newEmail(), password: goodPassword }),
      );
    for (const { status, body } of answers)
      expect({ status, body: { ...body, trace_id: '' } }).toEqual({
        status: 409,
        body: { ...answers[0]?.body, code: 'user_id_taken', trace_id: '' },
      });
  });

  it('lets one of many through who want the same address at once', async () => {
    const email = newEmail();
    const answers = await Promise.all(
      Array.from({ length: 12 }, () => register({ email, password: goodPassword })),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array(11).fill(409)]);
    expect(await auth.told('auth.register.success', { email })).toHaveLength(1);
    expect(await auth.told('auth.register.failure', { email, reason: 'email_taken' })).toHaveLength(11);
  });

  it('lets one of many through who want the same id at once', async () => {
    const user_id = randomUUID();
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => register({ user_id, email: newEmail(), password: goodPassword })),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array(7).fill(409)]);
  });

  it('takes nobody into a tenant that was closed while the password was being hashed', async () => {
    const tenant_id = await auth.tenant();
    const { query } = auth.platform.database;
    const close = query(`update auth.tenant set registration = 'closed' where id = $1`, [tenant_id]);
    const answer = await register({ tenant_id, email: newEmail(), password: goodPassword });
    await close;
    const rows = await query('select from auth.user_account where tenant_id = $1', [tenant_id]);
    expect(rows.length).toBe(answer.status === 201 ? 1 : 0);
  });

  it('refuses what it does not know, and roles above all', async () => {
    for (const extra of [{ role: 'ADMIN' }, { roles: ['ADMIN'] }, { status: 'active' }])
      expect(codeOf(await register({ email: newEmail(), password: goodPassword, ...extra }))).toEqual([
        400,
        'invalid_request',
      ]);
    expect(
      codeOf(await register({ email: newEmail(), password: goodPassword, name: 'a\u001b[2Jb' })),
    ).toEqual([400, 'invalid_request']);
    expect((await auth.told('auth.register.failure', { reason: 'malformed' })).length).toBe(4);
  });
});
