import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ADMIN, PLATFORM_ADMIN, type Sample, startAudit, type TestAudit, USER } from './testing.ts';

const list = '/api/admin/login-events';
const failures = `${list}/failures`;
const minute = (offset: number) => new Date(Date.UTC(2026, 4, 10, 12, offset));
/** Only what this file wrote: the sign-ins of the administrators are in the trail as well. */
const day = `from=${minute(0).toISOString()}&to=${minute(60).toISOString()}`;

const [ours, theirs, ada] = [randomUUID(), randomUUID(), randomUUID()];
const signIn = (at: number, outcome: string, data: object, tenant: string | null = ours): Sample => ({
  ...{ tenant, at: minute(at), type: `auth.login.${outcome}`, traceparent: null },
  data: { user_id: null, client_ip: '192.0.2.1', user_agent: 'Firefox', ...data },
});
const samples: Sample[] = [
  signIn(1, 'success', { user_id: ada, email: 'ada@example.com', session_id: 's1', strategy: 'password' }),
  signIn(2, 'failure', { user_id: ada, email: 'ada@example.com', reason: 'wrong_password' }),
  signIn(3, 'failure', { email: 'b.ada@example.com', reason: 'unknown_user', client_ip: '2001:db8::1' }),
  signIn(4, 'blocked', { user_id: ada, email: 'ada@example.com', retry_after_seconds: 9 }),
  signIn(5, 'failure', { email: 'ada@example.com.example', reason: 'unknown_user', client_ip: '192.0.2.9' }),
  signIn(6, 'failure', { email: 'eve@example.com', reason: 'unknown_user' }, theirs),
  signIn(7, 'failure', { email: 'x', reason: 'unknown_tenant' }, null),
  { tenant: ours, at: minute(8), type: 'auth.lockout', data: { user_id: ada, email: 'ada@example.com' } },
];

let audit: TestAudit;
let tokens: { admin: string; platform: string; user: string; support: string };
let ids: string[];
beforeAll(async () => {
  audit = await startAudit();
  const [admin, platform, user, support] = await Promise.all([
    audit.accessToken(ADMIN, ours),
    audit.accessToken(PLATFORM_ADMIN, ours),
    audit.accessToken(USER, ours),
    audit.accessToken(['USER', 'SUPPORT'], ours),
  ]);
  tokens = { admin, platform, user, support };
  ids = await audit.tell(samples);
});
afterAll(() => audit?.platform.close());

const get = (query: string, token = tokens.platform, path = list) =>
  audit.platform.api.get(`${path}?${query}`, { token });
const found = async (query: string, token = tokens.platform): Promise<number[]> => {
  const { status, body, text } = await get(query, token);
  expect(status, text).toBe(200);
  return body.items.map(({ id }: { id: string }) => ids.indexOf(id));
};

describe('the sign-ins', () => {
  it('are all that ended, and nothing else, newest first', async () => {
    expect(await found(day)).toEqual([6, 5, 4, 3, 2, 1, 0]);
    const { body } = await get(`${day}&user_id=${ada}`);
    const of = { tenant_id: ours, user_id: ada, email: 'ada@example.com', client_ip: '192.0.2.1' };
    const by = { user_agent: 'Firefox', trace_id: null };
    expect(body.items).toEqual([
      {
        ...of,
        ...by,
        id: ids[3],
        occurred_at: minute(4).toISOString(),
        outcome: 'blocked',
        reason: 'locked_out',
        session_id: null,
      },
      {
        ...of,
        ...by,
        id: ids[1],
        occurred_at: minute(2).toISOString(),
        outcome: 'failure',
        reason: 'wrong_password',
        session_id: null,
      },
      {
        ...of,
        ...by,
        id: ids[0],
        occurred_at: minute(1).toISOString(),
        outcome: 'success',
        reason: null,
        session_id: 's1',
      },
    ]);
  });

  it('are found by the whole address and no other that contains it', async () => {
    expect(await found(`${day}&email=ada@example.com`)).toEqual([3, 1, 0]);
    expect(await found('email=%20ADA@Example.com')).toEqual([3, 1, 0]);
    expect(await found('email=b.ada@example.com')).toEqual([2]);
    expect(await found('email=nobody@example.com')).toEqual([]);
    expect(await found(`${day}&email=ada@example.com&outcome=failure`)).toEqual([1]);
  });

  it('are filtered by outcome, address, network, time and user', async () => {
    expect(await found(`${day}&outcome=failure`)).toEqual([6, 5, 4, 2, 1]);
    expect(await found(`${day}&outcome=blocked`)).toEqual([3]);
    expect(await found(`${day}&client_ip=2001:db8::1`)).toEqual([2]);
    expect(await found(`${day}&client_ip=192.0.2.8/29`)).toEqual([4]);
    expect(await found(`from=${minute(2).toISOString()}&to=${minute(4).toISOString()}`)).toEqual([2, 1]);
    for (const wrong of [
      'outcome=lost',
      'user_id=x',
      'client_ip=x',
      'from=today',
      'kind=1',
      'email=x',
      'cursor=x',
    ])
      expect((await get(wrong)).status, wrong).toBe(400);
  });

  it('of other tenants are for who reaches every tenant', async () => {
    for (const token of [tokens.admin, tokens.support]) {
      expect(await found(day, token)).toEqual([4, 3, 2, 1, 0]);
      for (const path of [list, failures]) {
        const { status, body } = await get(`tenant_id=${theirs}`, token, path);
        expect([status, body.code]).toEqual([404, 'unknown_tenant']);
      }
    }
    expect(await found(`${day}&tenant_id=${theirs}`)).toEqual([5]);
    for (const path of [list, failures]) {
      expect((await audit.platform.api.get(path)).status).toBe(401);
      expect((await get('', tokens.user, path)).status).toBe(403);
    }
  });

  it('come in pages that lose and double none, with a cursor for these filters only', async () => {
    const seen: string[] = [];
    let cursor = '';
    for (;;) {
      const { body } = await get(`${day}&limit=2${cursor}`);
      seen.push(...body.items.map(({ id }: { id: string }) => id));
      if (body.next_cursor === null) break;
      cursor = `&cursor=${body.next_cursor}`;
    }
    expect(seen.map((id) => ids.indexOf(id))).toEqual([6, 5, 4, 3, 2, 1, 0]);
    const { body } = await get(`${day}&limit=2`);
    const other = await get(`${day}&limit=2&email=ada@example.com&cursor=${body.next_cursor}`);
    expect([other.status, other.body.code]).toEqual([400, 'bad_cursor']);
  });
});

describe('failed sign-ins by reason', () => {
  it('are counted with their addresses and users, the most frequent first', async () => {
    const { status, body, text } = await get(day, tokens.platform, failures);
    expect(status, text).toBe(200);
    expect(body).toEqual({
      ...{ from: minute(0).toISOString(), to: minute(60).toISOString(), total: 6, next_cursor: null },
      items: [
        { reason: 'unknown_user', count: 3, addresses: 3, users: 0 },
        { reason: 'locked_out', count: 1, addresses: 1, users: 1 },
        { reason: 'unknown_tenant', count: 1, addresses: 1, users: 0 },
        { reason: 'wrong_password', count: 1, addresses: 1, users: 1 },
      ],
    });
    const own = await get(day, tokens.admin, failures);
    expect(own.body.items[0]).toEqual({ reason: 'unknown_user', count: 2, addresses: 2, users: 0 });
    expect(own.body.total).toBe(4);
  });

  it('are those of the last 24 hours unless asked otherwise', async () => {
    const hour = 3_600_000;
    await audit.tell([
      { ...signIn(0, 'failure', { reason: 'yesterday' }), at: new Date(Date.now() - 25 * hour) },
      { ...signIn(0, 'failure', { reason: 'today' }), at: new Date(Date.now() - 23 * hour) },
    ]);
    const { body } = await get('', tokens.platform, failures);
    expect(body.items).toEqual([{ reason: 'today', count: 1, addresses: 1, users: 0 }]);
    expect(Date.parse(body.to) - Date.parse(body.from)).toBe(24 * hour);
    expect((await get('from=yesterday', tokens.platform, failures)).status).toBe(400);
  });
});
