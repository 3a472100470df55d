import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask } from './database.ts';
import { type Operation, operationsOf, pathOf } from './operations.ts';
import { auditEvent, newPerson, type Person, type Platform, startPlatform } from './platform.ts';
import { type TenantObjects, tenantObjects } from './tenant-objects.ts';

// Attack family 2: one-time objects (refresh tokens; cursors are bound, not one-time) used twice, elsewhere, late.
let platform: Platform;

beforeAll(async () => {
  platform = await startPlatform();
});
afterAll(() => platform?.close());

const refresh = (refresh_token: string, agent = 'client') =>
  platform.api.post('/api/auth/refresh', { refresh_token }, { headers: { 'user-agent': agent } });

/** The grace of a person's spent tokens is over: as if they had been spent an hour ago. */
const graceIsOver = ({ session_id }: Person) =>
  ask(
    platform.databaseUrl,
    `update token.refresh_token set consumed_at = consumed_at - interval '1 hour' where family_id = $1`,
    [session_id],
  );

describe('family 2: refresh tokens', () => {
  for (const racers of [2, 100]) {
    it(`of ${racers} identical refreshes at once all get one successor, none a 500 (hard case 1)`, async () => {
      const person = await newPerson(platform.api);
      const answers = await Promise.all(Array.from({ length: racers }, () => refresh(person.refresh_token)));
      expect([...new Set(answers.map(({ status, body }) => `${status} ${body.code}`))]).toEqual([
        '200 undefined',
      ]);
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
    await graceIsOver(person);
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
    await graceIsOver(person);
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
  let own: TenantObjects;
  let other: TenantObjects;
  beforeAll(async () => {
    own = await tenantObjects(platform, 'cursors');
    other = await tenantObjects(platform, 'elsewhere');
  });

  it('a cursor that was changed, or belongs to another list, filter or tenant, is 400 bad_cursor, for every list', async () => {
    const lists = (await operationsOf(platform.api)).filter(
      ({ query, roles }) => query.includes('cursor') && query.includes('limit') && roles.includes('ADMIN'),
    );
    const ask = (operation: Operation, query: string, objects = own) => {
      const ids = operation.pathParameters.map((name) => [name, objects.idOf(operation, { name })]);
      const path = `${pathOf(operation, Object.fromEntries(ids))}?${query}`;
      return platform.api.get(path, { token: objects.admin.access_token });
    };
    const cursors = new Map<Operation, string>();
    for (const operation of lists) {
      const first = await ask(operation, 'limit=1');
      expect(first.status, `${operation.path}: ${first.text}`).toBe(200);
      const cursor: string | null = first.body.next_cursor;
      if (cursor === null) continue;
      cursors.set(operation, cursor);
      const next = await ask(operation, `limit=1&cursor=${cursor}`);
      expect(next.status, `${operation.path}: ${next.text}`).toBe(200);
      expect(next.body.items).not.toEqual(first.body.items);
    }
    expect([...cursors.keys()].map(({ path }) => path)).toEqual(
      expect.arrayContaining(['/api/audit/events', '/api/admin/users', '/api/nats/users']),
    );
    for (const [of, cursor] of cursors) {
      const flipped = cursor.startsWith('A') ? `B${cursor.slice(1)}` : `A${cursor.slice(1)}`;
      const wrong = [
        await ask(of, `cursor=${flipped}`),
        await ask(of, `cursor=${cursor.slice(0, -2)}`),
        await ask(of, 'cursor=x'),
        await ask(of, `cursor=${cursor}`, other),
      ];
      for (const list of lists) if (list !== of) wrong.push(await ask(list, `cursor=${cursor}`));
      for (const answer of wrong)
        expect({ of: of.path, status: answer.status, code: answer.body.code }, answer.text).toEqual({
          of: of.path,
          status: 400,
          code: 'bad_cursor',
        });
    }
  });

  it('a cursor of one filter is none of another', async () => {
    const token = await platform.adminToken();
    const get = (path: string) => platform.api.get(path, { token });
    const cursor: string = (await get('/api/audit/events?limit=1')).body.next_cursor;
    expect(cursor).toBeTypeOf('string');
    for (const filter of ['type=auth.login.success', 'outcome=failure', 'from=2020-01-01T00:00:00Z']) {
      const answer = await get(`/api/audit/events?limit=1&${filter}&cursor=${cursor}`);
      expect({ filter, status: answer.status, code: answer.body.code }).toEqual({
        filter,
        status: 400,
        code: 'bad_cursor',
      });
    }
  });

  it('what an export is gone on with is of that tenant, filter and format alone, and no cursor of a list', async () => {
    const by = (objects: TenantObjects) => ({ token: objects.admin.access_token });
    const begun = await platform.api.get('/api/audit/export?format=ndjson', by(own));
    expect(begun.status).toBe(200);
    const cursor = begun.headers.get('gatehouse-export-cursor') ?? '';
    expect(cursor.length).toBeGreaterThan(40);
    const again = await platform.api.get(`/api/audit/export?format=ndjson&cursor=${cursor}`, by(own));
    expect(again.status, again.text.slice(0, 300)).toBe(200);
    const list: string = (await platform.api.get('/api/audit/events?limit=1', by(own))).body.next_cursor;
    for (const [query, objects] of [
      [`format=ndjson&cursor=${cursor}`, other],
      [`format=ndjson&cursor=${cursor}&after=${own.tenantId}:1`, other],
      [`format=ndjson&cursor=${cursor}&after=${other.tenantId}:1`, own],
      [`format=csv&cursor=${cursor}`, own],
      [`format=ndjson&types=auth.login.failure&cursor=${cursor}`, own],
      [`format=ndjson&start=2020-01-01&cursor=${cursor}`, own],
      [`format=ndjson&cursor=${cursor.slice(0, -3)}`, own],
      [`format=ndjson&cursor=${list}`, own],
    ] as const) {
      const answer = await platform.api.get(`/api/audit/export?${query}`, by(objects));
      expect({ query, status: answer.status, code: answer.body?.code }).toEqual({
        query,
        status: 400,
        code: 'bad_cursor',
      });
    }
    const listed = await platform.api.get(`/api/audit/events?cursor=${cursor}`, by(own));
    expect({ status: listed.status, code: listed.body.code }).toEqual({ status: 400, code: 'bad_cursor' });
  });
});
