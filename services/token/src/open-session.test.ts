import { randomUUID } from 'node:crypto';
import { questions } from '@gatehouse/kit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openingOf, startToken, type TestToken } from './testing.ts';

let service: TestToken;
beforeAll(async () => {
  service = await startToken();
});
afterAll(async () => {
  await service.platform.close();
});

type Status = 'active' | 'locked' | 'disabled';
const put = (
  userId: string,
  tenantId: string,
  change: { version: number; status?: Status; roles?: string[] },
) =>
  service.ask(questions.putSubjects, {
    subjects: [{ user_id: userId, tenant_id: tenantId, status: 'active', roles: ['USER'], ...change }],
    reason: 'test',
    actor_id: null,
    traceparent: null,
  });
const putTenant = (tenantId: string, version: number, status: 'active' | 'disabled') =>
  service.ask(questions.putTenant, {
    tenant_id: tenantId,
    version,
    status,
    reason: 'test',
    actor_id: null,
    traceparent: null,
  });
const open = (person: Parameters<typeof openingOf>[0], tenantVersion = 1) =>
  service.ask(questions.openSession, { ...openingOf(person), tenant_version: tenantVersion });
const lives = async (access: string) =>
  (await service.platform.api.get('/api/auth/sessions', { token: access })).status;

const kidOf = (token: string): string =>
  JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()).kid;

describe('opening a session', () => {
  test('gives a pair that works, and tells session.created', async () => {
    const person = await service.signIn();
    expect(await lives(person.access)).toBe(200);
    expect((await service.refresh(person.refresh)).status).toBe(200);
    expect(await service.told('session.created', `session:${person.sessionId}`)).toMatchObject([
      {
        tenant_id: person.tenantId,
        data: {
          user_id: person.userId,
          client_ip: '192.0.2.7',
          user_agent: 'Firefox',
          expires_at: expect.any(String),
        },
      },
    ]);
  });

  test('is refused as stale when we know a newer version of the user or the tenant', async () => {
    const [userId, tenantId] = [randomUUID(), randomUUID()];
    await put(userId, tenantId, { version: 5 });
    await putTenant(tenantId, 3, 'active');
    expect(await open({ userId, tenantId, version: 4 }, 3)).toEqual({ outcome: 'stale' });
    expect(await open({ userId, tenantId, version: 5 }, 2)).toEqual({ outcome: 'stale' });
    expect(await open({ userId, tenantId, version: 5 }, 3)).toMatchObject({ outcome: 'opened' });
    expect(await open({ userId, tenantId, version: 6 }, 4)).toMatchObject({ outcome: 'opened' });
  });

  test('is refused as inactive for a locked user and in a disabled tenant', async () => {
    const [userId, tenantId] = [randomUUID(), randomUUID()];
    await put(userId, tenantId, { version: 2, status: 'locked' });
    expect(await open({ userId, tenantId, version: 2 })).toEqual({ outcome: 'inactive' });
    const asked = openingOf({});
    expect(
      await service.ask(questions.openSession, {
        ...asked,
        subject: { ...asked.subject, status: 'disabled' },
      }),
    ).toEqual({ outcome: 'inactive' });
    const other = randomUUID();
    await putTenant(other, 2, 'disabled');
    expect(await open({ tenantId: other }, 2)).toEqual({ outcome: 'inactive' });
  });

  test('of one user many times at once works each time', async () => {
    const [userId, tenantId] = [randomUUID(), randomUUID()];
    const opened = await Promise.all(
      Array.from({ length: 30 }, (_, n) => open({ userId, tenantId, version: 1 + (n % 3) })),
    );
    for (const { outcome } of opened) expect(['opened', 'stale']).toContain(outcome);
    expect(opened.some(({ outcome }) => outcome === 'opened')).toBe(true);
  });

  test('of somebody known tells what it does of somebody new', async () => {
    const [userId, tenantId] = [randomUUID(), randomUUID()];
    for (const time of ['new', 'known']) {
      const opened = await open({ userId, tenantId });
      if (opened.outcome !== 'opened') throw new Error(`${time}: ${opened.outcome}`);
      const { session_id, refresh_token, access_token, expires_in } = opened.tokens;
      expect(expires_in, time).toBe(900);
      expect(await lives(access_token), time).toBe(200);
      expect((await service.refresh(refresh_token)).status, time).toBe(200);
      const [session] = await service.platform.database.query<{ expires_at: Date }>(
        'select expires_at from token.session where id = $1 and user_id = $2 and tenant_id = $3',
        [session_id, userId, tenantId],
      );
      expect(await service.told('session.created', `session:${session_id}`), time).toMatchObject([
        {
          tenant_id: tenantId,
          data: {
            user_id: userId,
            session_id,
            client_ip: '192.0.2.7',
            user_agent: 'Firefox',
            expires_at: session?.expires_at.toISOString(),
          },
        },
      ]);
    }
  });

  const whoIs = [{ who: 'new' }, { who: 'known' }] as const;
  const become = async (who: string, userId: string, tenantId: string) => {
    if (who === 'known') expect(await open({ userId, tenantId })).toMatchObject({ outcome: 'opened' });
    else await put(userId, tenantId, { version: 1 });
  };

  test.each(whoIs)(
    'of somebody $who races with a lock of the user: afterwards nothing lives',
    async ({ who }) => {
      for (let round = 0; round < 10; round += 1) {
        const [userId, tenantId] = [randomUUID(), randomUUID()];
        await become(who, userId, tenantId);
        const [opened] = await Promise.all([
          open({ userId, tenantId, version: 1 }),
          put(userId, tenantId, { version: 2, status: 'locked' }),
        ]);
        if (opened.outcome !== 'opened') continue;
        expect((await service.refresh(opened.tokens.refresh_token)).body.code).toBe('session_revoked');
        expect(await lives(opened.tokens.access_token)).toBe(401);
      }
    },
  );

  test.each(whoIs)(
    'of somebody $who races with the end of the tenant: afterwards nothing lives',
    async ({ who }) => {
      for (let round = 0; round < 10; round += 1) {
        const [userId, tenantId] = [randomUUID(), randomUUID()];
        await become(who, userId, tenantId);
        const [opened] = await Promise.all([open({ userId, tenantId }), putTenant(tenantId, 2, 'disabled')]);
        if (opened.outcome !== 'opened') continue;
        expect((await service.refresh(opened.tokens.refresh_token)).status).toBe(401);
        expect(await lives(opened.tokens.access_token)).toBe(401);
      }
    },
  );
});

describe('what auth tells of a user', () => {
  test('in an older version changes nothing', async () => {
    const person = await service.signIn({ version: 7 });
    expect(await put(person.userId, person.tenantId, { version: 6, status: 'disabled' })).toEqual({
      taken: 0,
    });
    expect((await service.refresh(person.refresh)).status).toBe(200);
  });

  test.each(['locked', 'disabled'] as const)(
    'as %s ends all sessions and their access tokens',
    async (status) => {
      const first = await service.signIn();
      const second = await service.signIn({ userId: first.userId, tenantId: first.tenantId });
      expect(await put(first.userId, first.tenantId, { version: 2, status })).toEqual({ taken: 1 });
      for (const { refresh, access, sessionId } of [first, second]) {
        expect((await service.refresh(refresh)).body.code).toBe('session_revoked');
        expect(await lives(access)).toBe(401);
        expect(await service.told('session.revoked', `session:${sessionId}`)).toHaveLength(1);
        expect(
          await service.ask(questions.sessionStatus, { session_id: sessionId, kid: kidOf(access) }),
        ).toMatchObject({
          active: false,
        });
      }
      // Active again: who was signed out stays signed out.
      await put(first.userId, first.tenantId, { version: 3 });
      expect((await service.refresh(first.refresh)).body.code).toBe('session_revoked');
      expect(await open({ userId: first.userId, tenantId: first.tenantId, version: 3 })).toMatchObject({
        outcome: 'opened',
      });
    },
  );

  test('with other roles acts on tokens that live, and on the next refresh', async () => {
    const person = await service.signIn({ roles: ['USER', 'ADMIN'] });
    const revokeAll = () =>
      service.platform.api.post(
        '/api/admin/sessions/revoke-all',
        { tenant_id: person.tenantId, reason: 'test', dry_run: true },
        { token: person.access },
      );
    expect((await revokeAll()).status).toBe(200);
    await put(person.userId, person.tenantId, { version: 2, roles: ['USER'] });
    expect((await revokeAll()).status).toBe(403);
    const { body } = await service.refresh(person.refresh);
    const claims = JSON.parse(Buffer.from(body.access_token.split('.')[1], 'base64url').toString());
    expect(claims.roles).toEqual(['USER']);
    expect(
      await service.ask(questions.sessionStatus, { session_id: person.sessionId, kid: kidOf(person.access) }),
    ).toEqual({
      active: true,
      roles: ['USER'],
    });
  });

  test('comes by a sign-in too: the old roles of other sessions end with it', async () => {
    const person = await service.signIn({ roles: ['USER', 'ADMIN'] });
    await service.signIn({ userId: person.userId, tenantId: person.tenantId, roles: ['USER'], version: 2 });
    const told = await service.told('revocation.entry', `user:${person.userId}`);
    expect(told).toMatchObject([{ data: { user_id: person.userId, roles: ['USER'], version: 2 } }]);
  });

  test('twice finishes what the first time left', async () => {
    const person = await service.signIn();
    await service.platform.database.query(
      `update token.subject set status = 'locked', version = 2 where user_id = $1`,
      [person.userId],
    );
    expect(await put(person.userId, person.tenantId, { version: 2, status: 'locked' })).toEqual({ taken: 0 });
    expect(await lives(person.access)).toBe(401);
  });
});

test('a disabled tenant loses its sessions with one counted event, other tenants keep theirs', async () => {
  const tenantId = randomUUID();
  const people = await Promise.all(Array.from({ length: 5 }, () => service.signIn({ tenantId })));
  const other = await service.signIn();
  expect(await putTenant(tenantId, 2, 'disabled')).toEqual({ taken: 1 });
  for (const { refresh, access } of people) {
    expect((await service.refresh(refresh)).body.code).toBe('session_revoked');
    expect(await lives(access)).toBe(401);
  }
  expect((await service.refresh(other.refresh)).status).toBe(200);
  expect(await service.told('admin.sessions.revoked', `tenant:${tenantId}`)).toMatchObject([
    { tenant_id: tenantId, data: { scope: 'tenant', count: 5, reason: 'test' } },
  ]);
  await putTenant(tenantId, 1, 'active');
  expect((await service.refresh(people[0]?.refresh)).status).toBe(401);
});

test('the answers to peers are not there without the service credential', async () => {
  const answer = await service.platform.api.post('/internal/token/session-status', {
    session_id: randomUUID(),
  });
  expect(answer.status).toBe(404);
});
