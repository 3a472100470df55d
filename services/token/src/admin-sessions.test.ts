import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ADMIN, type Person, PLATFORM_ADMIN, type SignedIn, startToken, type TestToken } from './testing.ts';

const SUPPORT = ['USER', 'SUPPORT'];
const AUDITOR = ['USER', 'AUDITOR'];
const list = '/api/admin/sessions';

let service: TestToken;
let root: SignedIn;
beforeAll(async () => {
  service = await startToken();
  root = await service.signIn({ roles: PLATFORM_ADMIN });
});
afterAll(() => service?.platform.close());

const request = (method: string, path: string, who: SignedIn | undefined, body?: unknown) =>
  service.platform.api.request(method, path, body, { token: who?.access });
const get = (query: string, who: SignedIn) => request('GET', `${list}?${query}`, who);
const end = (sessionId: string, who: SignedIn, reason = 'lost%20phone') =>
  request('DELETE', `${list}/${sessionId}?reason=${reason}`, who);
const idsOf = (answer: { body: { items: { session_id: string }[] } }) =>
  answer.body.items.map(({ session_id }) => session_id);
const lives = async ({ access }: SignedIn) =>
  (await service.platform.api.get('/api/auth/sessions', { token: access })).status === 200;
/** Somebody of the same tenant. */
const beside = (who: SignedIn, about: Person = {}) => service.signIn({ tenantId: who.tenantId, ...about });

describe('sessions of others', () => {
  test('are listed with device, address, first and last use and how they ended, newest first', async () => {
    const admin = await service.signIn({ roles: ADMIN });
    const user = await beside(admin, { agent: 'Safari', ip: '2001:db8::1' });
    const phone = await beside(admin, { userId: user.userId });
    const rotated = await service.refresh(phone.refresh);
    expect(rotated.status).toBe(200);
    await end(user.sessionId, admin);
    const all = await get(`user_id=${user.userId.toUpperCase()}&state=all`, admin);
    expect(all.status, all.text).toBe(200);
    const of = {
      user_id: user.userId,
      tenant_id: admin.tenantId,
      expires_at: expect.any(String),
      current: false,
    };
    expect(all.body).toEqual({
      items: [
        {
          ...{
            ...of,
            session_id: phone.sessionId,
            state: 'live',
            client_ip: '192.0.2.7',
            user_agent: 'Firefox',
          },
          ...{ created_at: expect.any(String), last_used_at: expect.any(String) },
          ...{ revoked_at: null, revoked_reason: null },
        },
        {
          ...{
            ...of,
            session_id: user.sessionId,
            state: 'revoked',
            client_ip: '2001:db8::1',
            user_agent: 'Safari',
          },
          ...{ created_at: expect.any(String), last_used_at: expect.any(String) },
          ...{ revoked_at: expect.any(String), revoked_reason: 'lost phone' },
        },
      ],
      next_cursor: null,
    });
    const [used] = all.body.items;
    expect(used.last_used_at > used.created_at).toBe(true);
    expect(idsOf(await get(`user_id=${user.userId}`, admin))).toEqual([phone.sessionId]);
    expect(idsOf(await get(`user_id=${user.userId}&state=ended`, admin))).toEqual([user.sessionId]);
    const own = await get(`user_id=${admin.userId}`, admin);
    expect(own.body.items).toMatchObject([{ session_id: admin.sessionId, current: true }]);
  });

  test('that idled to death are expired, also when their refresh tokens are forgotten', async () => {
    const user = await service.signIn();
    const { database } = service.platform;
    const age = `update token.refresh_token set expires_at = now() - interval '1 hour' where family_id = $1`;
    await database.query(age, [user.sessionId]);
    const ended = await get(`user_id=${user.userId}&state=ended`, root);
    expect(ended.body.items).toMatchObject([{ state: 'expired', last_used_at: expect.any(String) }]);
    await database.query('delete from token.refresh_token where family_id = $1', [user.sessionId]);
    expect((await get(`user_id=${user.userId}&state=ended`, root)).body.items).toMatchObject([
      { state: 'expired', last_used_at: null },
    ]);
    expect(idsOf(await get(`user_id=${user.userId}`, root))).toEqual([]);
  });

  test('come in pages that lose and double none, even of one microsecond', async () => {
    const user = await service.signIn();
    for (let n = 0; n < 4; n += 1) await beside(user, { userId: user.userId });
    await service.platform.database.query(
      `update token.session set created_at = '2026-01-02T03:04:05.678901Z' where user_id = $1`,
      [user.userId],
    );
    const seen: string[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const page: Awaited<ReturnType<typeof get>> = await get(
        `user_id=${user.userId}&limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`,
        root,
      );
      seen.push(...idsOf(page));
      cursor = page.body.next_cursor;
    }
    expect([seen.length, new Set(seen).size]).toEqual([5, 5]);
    const { body } = await get(`user_id=${user.userId}&limit=2`, root);
    for (const [query, who] of [
      [`user_id=${randomUUID()}`, root],
      [`user_id=${user.userId}&state=all`, root],
      [`user_id=${user.userId}`, await beside(user, { roles: ADMIN })],
    ] as const) {
      const { status, body: refused } = await get(`${query}&limit=2&cursor=${body.next_cursor}`, who);
      expect([status, refused.code]).toEqual([400, 'bad_cursor']);
    }
  });

  test('of another tenant do not exist for whoever reaches one tenant only', async () => {
    const stranger = await service.signIn();
    for (const roles of [SUPPORT, AUDITOR, ADMIN]) {
      const who = await service.signIn({ roles });
      expect(idsOf(await get('state=all&limit=200', who))).toEqual([who.sessionId]);
      expect(idsOf(await get(`user_id=${stranger.userId}`, who))).toEqual([]);
      const foreign = await get(`tenant_id=${stranger.tenantId}`, who);
      expect([foreign.status, foreign.body.code]).toEqual([404, 'not_found']);
      expect((await get(`tenant_id=${who.tenantId.toUpperCase()}`, who)).status).toBe(200);
      if (roles === AUDITOR) continue;
      const ended = await end(stranger.sessionId, who);
      expect([ended.status, ended.body.code]).toEqual([404, 'not_found']);
    }
    expect(idsOf(await get(`tenant_id=${stranger.tenantId}`, root))).toEqual([stranger.sessionId]);
    expect(await lives(stranger)).toBe(true);
  });

  test('are shown to who may see them, and ended by who may end them', async () => {
    const user = await service.signIn();
    const plain = await beside(user);
    const auditor = await beside(user, { roles: AUDITOR });
    expect((await request('GET', list, undefined)).status).toBe(401);
    expect((await get('', plain)).status).toBe(403);
    expect((await get('', auditor)).status).toBe(200);
    expect((await request('DELETE', `${list}/${user.sessionId}`, undefined)).status).toBe(401);
    for (const who of [plain, auditor]) expect((await end(user.sessionId, who)).status).toBe(403);
    for (const query of ['state=dead', 'user_id=x', 'limit=0', 'kind=1', 'cursor=x'])
      expect((await get(query, root)).status, query).toBe(400);
  });
});

describe('ending one session', () => {
  test('is told with the reason, and happens once', async () => {
    const user = await service.signIn();
    const support = await beside(user, { roles: SUPPORT });
    const answers = await Promise.all([1, 2, 3].map(() => end(user.sessionId, support)));
    expect(answers.map(({ status }) => status).toSorted()).toEqual([204, 404, 404]);
    expect(await lives(user)).toBe(false);
    expect((await service.refresh(user.refresh)).body.code).toBe('session_revoked');
    expect(await service.told('session.revoked', `session:${user.sessionId}`)).toMatchObject([
      { data: { reason: 'lost phone', revoked_by: support.userId, user_id: user.userId } },
    ]);
    expect(await service.told('admin.sessions.revoked', `user:${user.userId}`)).toMatchObject([
      { tenant_id: user.tenantId, data: { actor_id: support.userId, reason: 'lost phone', count: 1 } },
    ]);
  });

  test('needs a reason, after it is clear that there is such a session', async () => {
    const user = await service.signIn();
    for (const query of ['', '?reason=', '?reason=%20']) {
      const { status, body } = await request('DELETE', `${list}/${user.sessionId}${query}`, root);
      expect([status, body.code]).toEqual([400, 'reason_required']);
      expect((await request('DELETE', `${list}/${randomUUID()}${query}`, root)).status).toBe(404);
    }
    expect((await request('DELETE', `${list}/nonsense?reason=x`, root)).status).toBe(400);
    expect(await lives(user)).toBe(true);
  });

  test.each([
    ['SUPPORT', ['USER'], true],
    ['SUPPORT', SUPPORT, true],
    ['SUPPORT', AUDITOR, false],
    ['SUPPORT', ADMIN, false],
    ['SUPPORT', PLATFORM_ADMIN, false],
    ['SUPPORT', ['USER', 'OF_ANOTHER_RELEASE'], false],
    ['ADMIN', AUDITOR, true],
    ['ADMIN', ADMIN, true],
    ['ADMIN', PLATFORM_ADMIN, false],
    ['PLATFORM_ADMIN', PLATFORM_ADMIN, true],
  ])('%s, of somebody with %j: %s; one session and all of the user alike', async (role, roles, may) => {
    const target = await service.signIn({ roles });
    const other = await service.signIn({ userId: target.userId, tenantId: target.tenantId, roles });
    const actor = await beside(target, { roles: ['USER', role] });
    const one = await end(target.sessionId, actor);
    expect([one.status, one.body?.code]).toEqual(may ? [204, undefined] : [403, 'role_too_high']);
    const all = await request('POST', `${list}/revoke-all`, actor, { user_id: target.userId, reason: 'x' });
    expect([all.status, all.body.code]).toEqual(may ? [200, undefined] : [403, 'role_too_high']);
    expect([await lives(target), await lives(other), await lives(actor)]).toEqual([!may, !may, true]);
  });

  test('of a whole tenant is not for SUPPORT', async () => {
    const support = await service.signIn({ roles: SUPPORT });
    const { status, body } = await request('POST', `${list}/revoke-all`, support, {
      ...{ tenant_id: support.tenantId, reason: 'x' },
    });
    expect([status, body.code]).toEqual([403, 'forbidden']);
    const own = await request('POST', `${list}/revoke-all`, support, {
      user_id: support.userId,
      reason: 'x',
    });
    expect([own.status, own.body]).toEqual([200, { count: 1 }]);
  });
});

describe('sessions that have expired', () => {
  const clear = (who: SignedIn | undefined, body: object = {}) =>
    request('POST', `${list}/clear-expired`, who, body);

  test('are removed at once, counted and told, and no other is', async () => {
    const [gone, ended, young] = [await service.signIn(), await service.signIn(), await service.signIn()];
    await end(ended.sessionId, root);
    const { database } = service.platform;
    const age = async (table: string, column: string, hours: number, who: SignedIn) =>
      database.query(
        `update token.${table} set expires_at = now() - make_interval(hours => $1) where ${column} = $2`,
        [hours, who.sessionId],
      );
    await age('session', 'id', 25, gone);
    await age('refresh_token', 'family_id', 25, gone);
    await age('session', 'id', 23, young);
    const answer = await clear(root, { reason: 'tidy' });
    expect(answer.status, answer.text).toBe(200);
    expect(answer.body).toEqual({ count: 1, refresh_tokens: 1, complete: true });
    const left = await database.query<{ id: string }>('select id from token.session where id = any($1)', [
      [gone, ended, young].map(({ sessionId }) => sessionId),
    ]);
    expect(left.map(({ id }) => id).toSorted()).toEqual([ended.sessionId, young.sessionId].toSorted());
    // Revoked stays revoked.
    expect((await service.refresh(ended.refresh)).body.code).toBe('session_revoked');
    expect(await service.told('admin.sessions.cleared')).toMatchObject([
      { tenant_id: null, data: { actor_id: root.userId, reason: 'tidy', count: 1 } },
    ]);
    expect((await clear(root)).body).toEqual({ count: 0, refresh_tokens: 0, complete: true });
  });

  test('are each removed and counted by one of those who ask at the same moment', async () => {
    await service.platform.database.query(
      `insert into token.session (id, tenant_id, user_id, expires_at)
       select gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), now() - interval '2 days' from generate_series(1, 500)`,
    );
    const answers = await Promise.all([clear(root), clear(root), clear(root)]);
    expect(answers.reduce((sum, { body }) => sum + body.count, 0)).toBe(500);
  });

  test('are for platform administrators to remove', async () => {
    expect((await clear(undefined)).status).toBe(401);
    for (const roles of [['USER'], SUPPORT, AUDITOR, ADMIN])
      expect((await clear(await service.signIn({ roles }))).status).toBe(403);
    expect((await clear(root, { all: true })).status).toBe(400);
  });
});
