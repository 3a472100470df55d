import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { auditEvent, newPerson, newTenant, type Platform, startPlatform } from './platform.ts';

// Attack family 2: one-time objects (refresh tokens; cursors are bound, not one-time) used twice, elsewhere, late.
let platform: Platform;

beforeAll(async () => {
  platform = await startPlatform({ env: { REFRESH_REUSE_GRACE_SECONDS: '2' } });
});
afterAll(() => platform?.close());

const refresh = (refresh_token: string, agent = 'client') =>
  platform.api.post('/api/auth/refresh', { refresh_token }, { headers: { 'user-agent': agent } });
const delay = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe('family 2: refresh tokens', () => {
  for (const racers of [2, 100]) {
    it(`of ${racers} identical refreshes at once all get one successor, none a 500 (hard case 1)`, async () => {
      const person = await newPerson(platform.api);
      const answers = await Promise.all(Array.from({ length: racers }, () => refresh(person.refresh_token)));
      expect([...new Set(answers.map(({ status }) => status))]).toEqual([200]);
      const successors = new Set(answers.map(({ body }) => body.refresh_token));
      expect(successors.size).toBe(1);
      expect((await refresh([...successors][0])).status).toBe(200);
    });
  }

  it('within the grace another client is a replay: the family dies (hard case 2)', async () => {
    const person = await newPerson(platform.api);
    const successor = (await refresh(person.refresh_token)).body.refresh_token;
    const thief = await refresh(person.refresh_token, 'thief');
    expect({ status: thief.status, code: thief.body.code }).toEqual({
      status: 401,
      code: 'refresh_replayed',
    });
    expect((await refresh(successor)).status).toBe(401);
  });

  it('after the grace the same client is a replay too, and neither holds a live token afterwards', async () => {
    const person = await newPerson(platform.api);
    const successor = (await refresh(person.refresh_token)).body;
    await delay(2200);
    const replay = await refresh(person.refresh_token);
    expect({ status: replay.status, code: replay.body.code }).toEqual({
      status: 401,
      code: 'refresh_replayed',
    });
    expect((await refresh(successor.refresh_token)).status).toBe(401);
    await auditEvent(
      platform,
      { type: 'security.refresh_replay_detected' },
      ({ data }) => data.session_id === person.session_id,
    );
    expect((await platform.api.get('/api/auth/me', { token: successor.access_token })).status).toBe(401);
  });

  it('a replay is seen after a restart of everything', async () => {
    const person = await newPerson(platform.api);
    const successor = (await refresh(person.refresh_token)).body.refresh_token;
    for (const name of platform.services) await platform.stopService(name);
    await Promise.all(platform.services.map((name) => platform.startService(name)));
    await delay(2200);
    expect((await refresh(person.refresh_token)).body.code).toBe('refresh_replayed');
    expect((await refresh(successor)).status).toBe(401);
  });

  it('refresh racing with revoke: revoke wins, no orphan lives (hard case 3)', async () => {
    for (let round = 0; round < 10; round += 1) {
      const person = await newPerson(platform.api);
      const [refreshed] = await Promise.all([
        refresh(person.refresh_token),
        platform.api.post('/api/auth/logout', undefined, { token: person.access_token }),
      ]);
      expect([200, 401]).toContain(refreshed.status);
      if (refreshed.status !== 200) continue;
      expect((await refresh(refreshed.body.refresh_token)).status).toBe(401);
    }
  });

  it('what is no refresh token is refused as one: other kinds, cut, padded, doubled', async () => {
    const { access_token, refresh_token, session_id } = await newPerson(platform.api);
    const others = [
      access_token.slice(0, 512),
      session_id,
      refresh_token.slice(1),
      `${refresh_token}=`,
      refresh_token + refresh_token,
      ` ${refresh_token}`,
    ];
    for (const token of others) {
      const answer = await refresh(token);
      expect({ status: answer.status, code: answer.body.code }).toEqual({
        status: 401,
        code: 'invalid_refresh_token',
      });
    }
    expect((await refresh(refresh_token)).status).toBe(200);
  });
});

describe('family 2: cursors', () => {
  it('a cursor that was changed, or belongs to another list, filter or tenant, is 400 bad_cursor', async () => {
    const token = await platform.adminToken();
    await newPerson(platform.api, { tenant_id: await newTenant(platform) });
    await auditEvent(platform, { type: 'session.created' });
    const first = await platform.api.get('/api/audit/events?limit=1', { token });
    const cursor: string = first.body.next_cursor;
    expect(cursor).toBeTypeOf('string');
    const next = await platform.api.get(`/api/audit/events?limit=1&cursor=${cursor}`, { token });
    expect(next.status).toBe(200);
    expect(next.body.items[0].id).not.toBe(first.body.items[0].id);
    const flipped = cursor.startsWith('A') ? `B${cursor.slice(1)}` : `A${cursor.slice(1)}`;
    for (const path of [
      `/api/audit/events?limit=1&cursor=${flipped}`,
      `/api/audit/events?limit=1&type=auth.login.success&cursor=${cursor}`,
      `/api/admin/users?limit=1&cursor=${cursor}`,
      '/api/audit/events?cursor=x',
    ]) {
      const answer = await platform.api.get(path, { token });
      expect({ path, status: answer.status, code: answer.body.code }).toEqual({
        path,
        status: 400,
        code: 'bad_cursor',
      });
    }
  });
});
