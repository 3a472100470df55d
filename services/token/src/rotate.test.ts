import { randomBytes } from 'node:crypto';
import { questions } from '@gatehouse/kit';
import { sessionSettings } from '@gatehouse/schema';
import { createLocalJWKSet, jwtVerify } from 'jose';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { rotationSql } from './spend.ts';
import { startToken, type TestToken } from './testing.ts';

let service: TestToken;
beforeAll(async () => {
  service = await startToken();
});
afterAll(async () => {
  await service.platform.close();
});

const code = (answer: { status: number; body: { code?: string } }) => [answer.status, answer.body?.code];
const aged = (refresh: string, column: string, seconds: number) =>
  service.platform.database.query(
    `update token.refresh_token set ${column} = ${column} - $2 * interval '1 second' where hash = sha256($1::text::bytea)`,
    [refresh, seconds],
  );
const successors = async (sessionId: string) => {
  const [row] = await service.platform.database.query<{ count: number }>(
    'select count(*)::int as count from token.refresh_token where family_id = $1 and generation = 1',
    [sessionId],
  );
  return row?.count;
};

describe('a refresh', () => {
  test('gives a new pair whose access token says who, where and what for', async () => {
    const person = await service.signIn();
    const answer = await service.refresh(person.refresh);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(answer.body).toEqual({
      access_token: expect.any(String),
      refresh_token: expect.stringMatching(/^[A-Za-z0-9_-]{43}$/),
      token_type: 'Bearer',
      expires_in: 900,
      session_id: person.sessionId,
    });
    expect(answer.body.refresh_token).not.toBe(person.refresh);
    const keys = createLocalJWKSet((await service.platform.api.get('/.well-known/jwks.json')).body);
    const { payload, protectedHeader } = await jwtVerify(answer.body.access_token, keys);
    expect(protectedHeader).toEqual({ alg: 'RS256', typ: 'at+jwt', kid: expect.any(String) });
    expect(payload).toEqual({
      iss: 'http://localhost:8080',
      aud: 'gatehouse',
      sub: person.userId,
      sid: person.sessionId,
      tenant_id: person.tenantId,
      roles: ['USER'],
      scope: '',
      jti: expect.any(String),
      iat: expect.any(Number),
      exp: (payload.iat ?? 0) + 900,
    });
  });

  test('tells session.refreshed in the same statement', async () => {
    const person = await service.signIn();
    await service.refresh(person.refresh);
    const told = await service.told('session.refreshed', `session:${person.sessionId}`);
    expect(told).toMatchObject([
      {
        tenant_id: person.tenantId,
        traceparent: expect.stringMatching(/^00-/),
        data: {
          user_id: person.userId,
          session_id: person.sessionId,
          generation: 1,
          client_ip: '192.0.2.7',
          user_agent: 'Firefox',
        },
      },
    ]);
  });

  test('stores no token, only its SHA-256', async () => {
    const person = await service.signIn();
    const { body } = await service.refresh(person.refresh);
    const dump = await service.platform.database.query<{ row: string }>(
      `select r::text as row from token.refresh_token r union all select o::text from token.outbox o`,
    );
    const text = dump.map(({ row }) => row).join('\n');
    for (const secret of [person.refresh, body.refresh_token])
      for (const spelling of [secret, Buffer.from(secret, 'base64url').toString('hex')])
        expect(text).not.toContain(spelling);
  });

  test('never outlives the end of the session', async () => {
    const person = await service.signIn();
    await service.platform.database.query(
      `update token.session set expires_at = now() + interval '100 seconds' where id = $1`,
      [person.sessionId],
    );
    const { body } = await service.refresh(person.refresh);
    expect(body.expires_in).toBeLessThanOrEqual(100);
    const [row] = await service.platform.database.query<{ same: boolean }>(
      `select t.expires_at = s.expires_at as same from token.refresh_token t join token.session s on s.id = t.family_id
       where s.id = $1 and generation = 1`,
      [person.sessionId],
    );
    expect(row?.same).toBe(true);
  });

  test('follows a chain of a hundred', async () => {
    const person = await service.signIn();
    let { refresh } = person;
    for (let turn = 0; turn < 100; turn += 1) refresh = (await service.refresh(refresh)).body.refresh_token;
    expect((await service.refresh(refresh)).status).toBe(200);
  });
});

describe('of racing identical refreshes', () => {
  test.each([2, 100])('%i at once: one successor, no 500, no deadlock', async (many) => {
    const person = await service.signIn();
    const answers = await Promise.all(Array.from({ length: many }, () => service.refresh(person.refresh)));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(new Set(answers.map(({ body }) => body.refresh_token)).size).toBe(1);
    expect(await successors(person.sessionId)).toBe(1);
    expect(await service.told('session.refreshed', `session:${person.sessionId}`)).toHaveLength(1);
  });

  test('without a grace exactly one wins, and the others end the family', async () => {
    const strict = await startToken({ REFRESH_REUSE_GRACE_SECONDS: '0' });
    try {
      const person = await strict.signIn();
      const answers = await Promise.all(Array.from({ length: 20 }, () => strict.refresh(person.refresh)));
      const won = answers.filter(({ status }) => status === 200);
      expect(won).toHaveLength(1);
      for (const lost of answers.filter((one) => one !== won[0]))
        expect(code(lost)).toEqual([401, 'refresh_replayed']);
      // Afterwards no thief holds a live token.
      expect(code(await strict.refresh(won[0]?.body.refresh_token))).toEqual([401, 'session_revoked']);
      expect(await strict.told('security.refresh_replay_detected')).toHaveLength(1);
    } finally {
      await strict.platform.close();
    }
  });

  test('from two clients at the same instant the family ends, whoever was first', async () => {
    const person = await service.signIn();
    const answers = await Promise.all([
      service.refresh(person.refresh),
      service.refresh(person.refresh, { 'x-forwarded-for': '198.51.100.9' }),
    ]);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 401]);
    const won = answers.find(({ status }) => status === 200);
    expect(code(await service.refresh(won?.body.refresh_token))).toEqual([401, 'session_revoked']);
  });
});

describe('an honest retry', () => {
  test('within the grace gets the same successor and another access token, without an event', async () => {
    const person = await service.signIn();
    const first = await service.refresh(person.refresh);
    const second = await service.refresh(person.refresh);
    expect(second.status).toBe(200);
    expect(second.body.refresh_token).toBe(first.body.refresh_token);
    expect(second.body.access_token).not.toBe(first.body.access_token);
    expect(await service.told('session.refreshed', `session:${person.sessionId}`)).toHaveLength(1);
  });

  test('also when the successor was used meanwhile', async () => {
    const person = await service.signIn();
    const first = await service.refresh(person.refresh);
    const second = await service.refresh(first.body.refresh_token);
    const late = await service.refresh(person.refresh);
    expect(late.body.refresh_token).toBe(first.body.refresh_token);
    expect((await service.refresh(late.body.refresh_token)).body.refresh_token).toBe(
      second.body.refresh_token,
    );
  });

  test('from another address of the same IPv6 /64 is still the same client', async () => {
    const person = await service.signIn();
    const first = await service.refresh(person.refresh, { 'x-forwarded-for': '2001:db8:1:2::1' });
    const second = await service.refresh(person.refresh, { 'x-forwarded-for': '2001:db8:1:2:ffff::9' });
    expect(second.body.refresh_token).toBe(first.body.refresh_token);
  });

  test('works across a restart', async () => {
    const own = await startToken();
    const person = await own.signIn();
    const first = await own.refresh(person.refresh);
    const again = await own.restart();
    try {
      expect((await again.refresh(person.refresh)).body.refresh_token).toBe(first.body.refresh_token);
    } finally {
      await again.platform.close();
    }
  });

  test('of a session that has ended is refused', async () => {
    const person = await service.signIn();
    const { body } = await service.refresh(person.refresh);
    await service.platform.api.post('/api/auth/logout', undefined, { token: body.access_token });
    expect(code(await service.refresh(person.refresh))).toEqual([401, 'session_revoked']);
  });
});

describe('a replay', () => {
  const ways: [string, (person: { refresh: string }) => Promise<unknown>, Record<string, string>][] = [
    ['after the grace', ({ refresh }) => aged(refresh, 'consumed_at', 11), {}],
    ['within the grace from another address', async () => {}, { 'x-forwarded-for': '198.51.100.9' }],
    ['within the grace from another browser', async () => {}, { 'user-agent': 'curl' }],
    [
      'of a token that has expired since',
      ({ refresh }) => aged(refresh, 'consumed_at', 11).then(() => aged(refresh, 'expires_at', 9e6)),
      {},
    ],
  ];
  test.each(ways)('%s ends the family and says so in the same transaction', async (_, prepare, from) => {
    const person = await service.signIn();
    const first = await service.refresh(person.refresh);
    await prepare(person);
    expect(code(await service.refresh(person.refresh, from))).toEqual([401, 'refresh_replayed']);
    expect(code(await service.refresh(first.body.refresh_token))).toEqual([401, 'session_revoked']);
    const aggregate = `session:${person.sessionId}`;
    expect(await service.told('security.refresh_replay_detected', aggregate)).toMatchObject([
      {
        tenant_id: person.tenantId,
        traceparent: expect.any(String),
        data: {
          user_id: person.userId,
          session_id: person.sessionId,
          family_id: person.sessionId,
          client_ip: from['x-forwarded-for'] ?? '192.0.2.7',
          user_agent: from['user-agent'] ?? 'Firefox',
          first_used_at: expect.stringMatching(/Z$/),
          first_used_by: '192.0.2.7 Firefox',
        },
      },
    ]);
    expect(await service.told('session.revoked', aggregate)).toMatchObject([
      { data: { reason: 'refresh_replayed' } },
    ]);
    const entries = await service.told('revocation.entry');
    expect(entries.some(({ data }) => (data.sids as string[] | undefined)?.includes(person.sessionId))).toBe(
      true,
    );
    const me = await service.platform.api.get('/api/auth/sessions', { token: first.body.access_token });
    expect(me.status).toBe(401);
  });

  test('is one alarm a family, however often it is repeated', async () => {
    const person = await service.signIn();
    await service.refresh(person.refresh);
    const replays = () =>
      Promise.all(
        Array.from({ length: 10 }, () => service.refresh(person.refresh, { 'user-agent': 'thief' })),
      );
    for (const answer of [...(await replays()), ...(await replays())])
      expect(code(answer)).toEqual([401, 'refresh_replayed']);
    const aggregate = `session:${person.sessionId}`;
    expect(await service.told('security.refresh_replay_detected', aggregate)).toHaveLength(1);
    expect(await service.told('session.revoked', aggregate)).toHaveLength(1);
    expect(await service.told('session.refresh_refused', aggregate)).toHaveLength(19);
  });

  test('is known as one after a restart of everything', async () => {
    const own = await startToken();
    const person = await own.signIn();
    await own.refresh(person.refresh);
    const again = await own.restart();
    try {
      expect(code(await again.refresh(person.refresh, { 'user-agent': 'thief' }))).toEqual([
        401,
        'refresh_replayed',
      ]);
    } finally {
      await again.platform.close();
    }
  });
});

describe('a refusal', () => {
  test.each([
    ['too short', 'abc'],
    ['of another alphabet', `${'a'.repeat(42)}+`],
    ['never issued', randomBytes(32).toString('base64url')],
    ['empty', ''],
  ])('of a token %s is 401 invalid_refresh_token', async (_, text) => {
    expect(code(await service.refresh(text))).toEqual([401, 'invalid_refresh_token']);
  });

  test.each([
    ['a number', 7],
    ['null', null],
    ['an object', {}],
    ['longer than 512', 'a'.repeat(513)],
  ])('of %s is 400', async (_, value) => {
    expect(code(await service.refresh(value))).toEqual([400, 'invalid_request']);
  });

  test('of another spelling of the same bytes is 401: the text is the token', async () => {
    const person = await service.signIn();
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const last = alphabet.indexOf(person.refresh.at(-1) ?? '');
    const twin = person.refresh.slice(0, -1) + alphabet.charAt(last ^ 1);
    expect(Buffer.from(twin, 'base64url')).toEqual(Buffer.from(person.refresh, 'base64url'));
    expect(code(await service.refresh(twin))).toEqual([401, 'invalid_refresh_token']);
    expect((await service.refresh(person.refresh)).status).toBe(200);
  });

  test('of an expired token, of a token in an expired session and of an ended session are told apart', async () => {
    const [idle, absolute, ended] = await Promise.all([service.signIn(), service.signIn(), service.signIn()]);
    await aged(idle.refresh, 'expires_at', 15 * 86_400);
    await service.platform.database.query('update token.session set expires_at = now() where id = $1', [
      absolute.sessionId,
    ]);
    await service.platform.api.post('/api/auth/logout', undefined, { token: ended.access });
    expect(code(await service.refresh(idle.refresh))).toEqual([401, 'refresh_expired']);
    expect(code(await service.refresh(absolute.refresh))).toEqual([401, 'refresh_expired']);
    expect(code(await service.refresh(ended.refresh))).toEqual([401, 'session_revoked']);
    expect(await service.told('session.refresh_refused', `session:${idle.sessionId}`)).toMatchObject([
      { data: { reason: 'expired', user_id: idle.userId } },
    ]);
  });
});

test('revoke wins a race with refresh: no successor can be used, no access token is accepted', async () => {
  for (let round = 0; round < 10; round += 1) {
    const person = await service.signIn();
    const [answer] = await Promise.all([
      service.refresh(person.refresh),
      service.ask(questions.revokeUserSessions, {
        user_id: person.userId,
        except_session: null,
        reason: 'test',
        actor_id: null,
        client_ip: null,
        user_agent: null,
        traceparent: null,
      }),
    ]);
    if (answer.status === 200) {
      expect(code(await service.refresh(answer.body.refresh_token))).toEqual([401, 'session_revoked']);
      const token = answer.body.access_token;
      expect((await service.platform.api.get('/api/auth/sessions', { token })).status).toBe(401);
    } else expect(code(answer)).toEqual([401, 'session_revoked']);
  }
});

test('the rotation reaches every table by an index', async () => {
  const plan = await planOf(rotationSql(900));
  for (const index of ['refresh_token_pkey', 'session_pkey', 'subject_pkey', 'tenant_state_pkey'])
    expect(plan).toContain(index);
  expect(plan).not.toContain('Seq Scan');
});

async function planOf(statement: string): Promise<string> {
  const { database } = service.platform;
  const settings = Object.entries(sessionSettings('token'))
    .map(([name, value]) => `set ${name} = '${value}'`)
    .join(' ');
  await database.query(`create function token.plan_of(statement text) returns setof text language plpgsql
    ${settings} as $$ begin return query execute 'explain ' || statement; end $$`);
  const values: Record<string, string> = {
    $1: `'{\\\\x00}'`,
    $2: `'{\\\\x01}'`,
    $3: `'{127.0.0.1}'`,
    $4: `'{agent}'`,
    $5: 'array[gen_random_uuid()]',
    $6: 'array[null]',
    $7: '1',
  };
  const filled = statement.replace(/\$\d/g, (name) => values[name] ?? 'null');
  const rows = await database.query<{ line: string }>('select token.plan_of($1) as line', [filled]);
  return rows.map(({ line }) => line).join('\n');
}
