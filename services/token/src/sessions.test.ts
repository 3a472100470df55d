import { randomUUID } from 'node:crypto';
import { questions } from '@gatehouse/kit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ADMIN, PLATFORM_ADMIN, type SignedIn, startToken, type TestToken } from './testing.ts';

let service: TestToken;
beforeAll(async () => {
  service = await startToken();
});
afterAll(async () => {
  await service.platform.close();
});

const again = (person: SignedIn, agent = 'Firefox') =>
  service.signIn({ userId: person.userId, tenantId: person.tenantId, agent });
const lives = async ({ access }: SignedIn) =>
  (await service.platform.api.get('/api/auth/sessions', { token: access })).status === 200;
const request = (method: string, path: string, who: SignedIn | undefined, body?: unknown) =>
  service.platform.api.request(method, path, body, { token: who?.access });

describe('my sessions', () => {
  test('are listed with device, address and first and last use, the newest first', async () => {
    const first = await service.signIn();
    const second = await again(first, 'Safari');
    await service.signIn({ tenantId: first.tenantId });
    const { status, body } = await request('GET', '/api/auth/sessions', first);
    expect(status).toBe(200);
    const times = {
      created_at: expect.any(String),
      last_used_at: expect.any(String),
      expires_at: expect.any(String),
    };
    expect(body).toEqual({
      items: [
        {
          session_id: second.sessionId,
          client_ip: '192.0.2.7',
          user_agent: 'Safari',
          current: false,
          ...times,
        },
        {
          session_id: first.sessionId,
          client_ip: '192.0.2.7',
          user_agent: 'Firefox',
          current: true,
          ...times,
        },
      ],
      next_cursor: null,
    });
  });

  test('come in pages whose cursor nobody else can use', async () => {
    const me = await service.signIn();
    for (let n = 0; n < 4; n += 1) await again(me);
    const seen: string[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const path: string = `/api/auth/sessions?limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`;
      const { body } = await request('GET', path, me);
      seen.push(...body.items.map((item: { session_id: string }) => item.session_id));
      if (body.next_cursor !== null) {
        const stranger = await service.signIn({ tenantId: me.tenantId });
        const stolen = await request(
          'GET',
          `/api/auth/sessions?limit=2&cursor=${body.next_cursor}`,
          stranger,
        );
        expect([stolen.status, stolen.body.code]).toEqual([400, 'bad_cursor']);
      }
      cursor = body.next_cursor;
    }
    expect(new Set(seen).size).toBe(5);
  });

  test('end one at a time; another user’s, an ended and an unknown one do not exist', async () => {
    const me = await service.signIn();
    const other = await again(me);
    const stranger = await service.signIn({ tenantId: me.tenantId });
    expect((await request('DELETE', `/api/auth/sessions/${other.sessionId}`, stranger)).status).toBe(404);
    expect(await lives(other)).toBe(true);
    expect((await request('DELETE', `/api/auth/sessions/${other.sessionId}`, me)).status).toBe(204);
    expect(await lives(other)).toBe(false);
    expect((await service.refresh(other.refresh)).body.code).toBe('session_revoked');
    expect((await request('DELETE', `/api/auth/sessions/${other.sessionId}`, me)).status).toBe(404);
    expect((await request('DELETE', `/api/auth/sessions/${randomUUID()}`, me)).status).toBe(404);
    expect((await request('DELETE', '/api/auth/sessions/nonsense', me)).status).toBe(400);
    expect(await service.told('session.revoked', `session:${other.sessionId}`)).toMatchObject([
      { data: { user_id: me.userId, revoked_by: me.userId, reason: 'ended_by_user' } },
    ]);
  });

  test('end all but this one', async () => {
    const me = await service.signIn();
    const others = [await again(me), await again(me)];
    const stranger = await service.signIn({ tenantId: me.tenantId });
    const { status, body } = await request('POST', '/api/auth/sessions/revoke-others', me);
    expect([status, body]).toEqual([200, { count: 2 }]);
    for (const other of others) expect(await lives(other)).toBe(false);
    expect([await lives(me), await lives(stranger)]).toEqual([true, true]);
  });

  test('end by logout, refresh token and access token alike', async () => {
    const me = await service.signIn();
    const other = await again(me);
    const answer = await request('POST', '/api/auth/logout', me);
    expect([answer.status, answer.text]).toEqual([204, '']);
    expect(await lives(me)).toBe(false);
    expect((await service.refresh(me.refresh)).body.code).toBe('session_revoked');
    expect(await lives(other)).toBe(true);
    expect(await service.told('session.revoked', `session:${me.sessionId}`)).toMatchObject([
      { data: { reason: 'logout' } },
    ]);
  });

  test.each([
    ['GET', '/api/auth/sessions'],
    ['POST', '/api/auth/logout'],
    ['DELETE', `/api/auth/sessions/${randomUUID()}`],
    ['POST', '/api/auth/sessions/revoke-others'],
    ['POST', '/api/admin/sessions/revoke-all'],
    ['GET', '/api/admin/keys'],
    ['POST', '/api/admin/keys/rotate'],
    ['POST', '/api/admin/keys/x/revoke'],
  ])('%s %s needs a principal', async (method, path) => {
    const answer = await request(method, path, undefined, method === 'POST' ? {} : undefined);
    expect([answer.status, answer.body.code]).toEqual([401, 'unauthenticated']);
  });
});

describe('an administrator', () => {
  const revokeAll = (who: SignedIn, body: object) =>
    request('POST', '/api/admin/sessions/revoke-all', who, { reason: 'a drill', ...body });

  test('of a tenant ends that tenant’s sessions, its own included unless it keeps it', async () => {
    const admin = await service.signIn({ roles: ADMIN });
    const member = await service.signIn({ tenantId: admin.tenantId });
    const stranger = await service.signIn();
    const dry = await revokeAll(admin, { tenant_id: admin.tenantId, dry_run: true });
    expect([dry.status, dry.body]).toEqual([200, { count: 2 }]);
    expect(await lives(member)).toBe(true);
    expect((await revokeAll(admin, { tenant_id: admin.tenantId, keep_own: true })).body).toEqual({
      count: 1,
    });
    expect([await lives(member), await lives(admin), await lives(stranger)]).toEqual([false, true, true]);
    expect((await revokeAll(admin, { tenant_id: admin.tenantId })).body).toEqual({ count: 1 });
    expect(await lives(admin)).toBe(false);
    expect(await service.told('admin.sessions.revoked', `tenant:${admin.tenantId}`)).toMatchObject([
      { data: { actor_id: admin.userId, reason: 'a drill', scope: 'tenant', count: 1 } },
      { data: { count: 1 } },
    ]);
  });

  test('of a tenant reaches its users only', async () => {
    const admin = await service.signIn({ roles: ADMIN });
    const member = await service.signIn({ tenantId: admin.tenantId });
    const stranger = await service.signIn();
    const codes = async (body: object) => {
      const answer = await revokeAll(admin, body);
      return [answer.status, answer.body.code];
    };
    expect(await codes({ user_id: stranger.userId })).toEqual([404, 'not_found']);
    expect(await codes({ tenant_id: stranger.tenantId })).toEqual([404, 'not_found']);
    expect(await codes({ tenant_id: stranger.tenantId, user_id: member.userId })).toEqual([404, 'not_found']);
    expect(await codes({ user_id: randomUUID() })).toEqual([404, 'not_found']);
    expect(await codes({})).toEqual([403, 'forbidden']);
    expect(await codes({ tenant_id: admin.tenantId, reason: ' ' })).toEqual([400, 'reason_required']);
    expect(await lives(stranger)).toBe(true);
    expect((await revokeAll(admin, { user_id: member.userId })).body).toEqual({ count: 1 });
    expect(await lives(member)).toBe(false);
  });

  test('must be one: a plain user is refused', async () => {
    const user = await service.signIn();
    expect((await revokeAll(user, { tenant_id: user.tenantId })).status).toBe(403);
  });

  test('of the platform ends any tenant’s, any user’s and everybody’s', async () => {
    const own = await startToken();
    try {
      const root = await own.signIn({ roles: PLATFORM_ADMIN });
      const people = await Promise.all([own.signIn(), own.signIn(), own.signIn()]);
      const post = (body: object) =>
        own.platform.api.post(
          '/api/admin/sessions/revoke-all',
          { reason: 'breach', ...body },
          { token: root.access },
        );
      expect((await post({ user_id: people[0]?.userId })).body).toEqual({ count: 1 });
      expect((await post({ tenant_id: people[1]?.tenantId })).body).toEqual({ count: 1 });
      expect((await post({ tenant_id: people[1]?.tenantId, user_id: people[2]?.userId })).status).toBe(404);
      expect((await post({ keep_own: true })).body).toEqual({ count: 1 });
      expect((await post({})).body).toEqual({ count: 1 });
      for (const { refresh } of [root, ...people]) expect((await own.refresh(refresh)).status).toBe(401);
      expect(await own.told('admin.sessions.revoked', 'sessions')).toMatchObject([
        { tenant_id: null, data: { scope: 'everybody', count: 1 } },
        { data: { count: 1 } },
      ]);
    } finally {
      await own.platform.close();
    }
  });
});

test('a user’s sessions end at auth’s word, all but one', async () => {
  const me = await service.signIn();
  const other = await again(me);
  const asked = {
    user_id: me.userId,
    except_session: me.sessionId,
    reason: 'password_changed',
    actor_id: me.userId,
    client_ip: '192.0.2.7',
    user_agent: 'Firefox',
    traceparent: null,
  };
  expect(await service.ask(questions.revokeUserSessions, asked)).toEqual({ count: 1 });
  expect([await lives(me), await lives(other)]).toEqual([true, false]);
  expect(await service.ask(questions.revokeUserSessions, { ...asked, except_session: null })).toEqual({
    count: 1,
  });
  expect(await lives(me)).toBe(false);
});

test('two who end overlapping sets of many sessions do not deadlock', async () => {
  const me = await service.signIn({ roles: ADMIN });
  await Promise.all(Array.from({ length: 30 }, () => again(me)));
  const asked = { except_session: null, reason: 'test', actor_id: null, client_ip: null, user_agent: null };
  const ends = await Promise.all([
    ...Array.from({ length: 4 }, () =>
      service.ask(questions.revokeUserSessions, { ...asked, user_id: me.userId, traceparent: null }),
    ),
    service.ask(questions.putTenant, {
      ...{ tenant_id: me.tenantId, version: 2, status: 'disabled' as const },
      ...{ reason: 'test', actor_id: null, traceparent: null },
    }),
  ]);
  expect(ends.length).toBe(5);
  expect(await lives(me)).toBe(false);
});
