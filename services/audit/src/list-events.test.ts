import { randomUUID } from 'node:crypto';
import { newId } from '@gatehouse/kit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ADMIN, PLATFORM_ADMIN, type Sample, startAudit, type TestAudit, USER } from './testing.ts';

const list = '/api/audit/events';
const minute = (offset: number) => new Date(Date.UTC(2026, 4, 10, 12, offset));

describe('the audit trail for administrators', () => {
  let audit: TestAudit;
  const [ours, theirs, user] = [randomUUID(), randomUUID(), randomUUID()];
  let tokens: { admin: string; platform: string; user: string };
  let ids: string[];
  const get = (query: string, token = tokens.platform, path = list) =>
    audit.platform.api.get(`${path}${query}`, { token });
  const idsOf = async (query: string, token = tokens.platform) => {
    const { status, body, text } = await get(query, token);
    expect(status, text).toBe(200);
    return body.items.map(({ id }: { id: string }) => id);
  };

  beforeAll(async () => {
    audit = await startAudit();
    const [admin, platform, somebody] = await Promise.all([
      audit.accessToken(ADMIN, ours),
      audit.accessToken(PLATFORM_ADMIN, ours),
      audit.accessToken(USER, ours),
    ]);
    tokens = { admin, platform, user: somebody };
    const samples: Sample[] = [
      {
        tenant: ours,
        at: minute(1),
        type: 'auth.login.success',
        data: { user_id: user, client_ip: '192.0.2.1' },
      },
      { tenant: ours, at: minute(2), type: 'auth.login.failure' },
      { tenant: theirs, at: minute(3), type: 'auth.login.failure' },
      { tenant: ours, at: minute(4), type: 'auth.lockout' },
      { tenant: null, at: minute(5), type: 'security.rate_limited' },
      { tenant: ours, at: minute(5), type: 'auth.login_like.other' },
    ];
    ids = await audit.tell(samples);
  });
  afterAll(() => audit?.platform.close());
  const pick = (...indexes: number[]) => indexes.map((index) => ids[index]);
  /** Only what this file wrote: the sign-ins of the administrators are in the trail as well. */
  const day = `from=${minute(0).toISOString()}&to=${minute(60).toISOString()}`;

  it('a platform administrator sees everything, newest first, equal times by id', async () => {
    const [a, b] = pick(4, 5).toSorted().toReversed();
    expect(await idsOf(`?${day}`)).toEqual([a, b, ...pick(3, 2, 1, 0)]);
  });

  it('an administrator sees the own tenant, asked for or not', async () => {
    expect(await idsOf(`?${day}`, tokens.admin)).toEqual(pick(5, 3, 1, 0));
    expect(await idsOf(`?${day}&tenant_id=${ours.toUpperCase()}`, tokens.admin)).toEqual(pick(5, 3, 1, 0));
  });

  it('an administrator may not know of other tenants', async () => {
    for (const tenant of [theirs, randomUUID()]) {
      const { status, body } = await get(`?tenant_id=${tenant}`, tokens.admin);
      expect([status, body.code]).toEqual([404, 'unknown_tenant']);
    }
    expect(await idsOf(`?${day}&tenant_id=${theirs}`)).toEqual(pick(2));
  });

  it('nobody else gets in', async () => {
    for (const path of [list, `${list}/${ids[0]}`]) {
      expect((await audit.platform.api.get(path)).status).toBe(401);
      expect((await get('', 'nonsense', path)).status).toBe(401);
      const { status, body } = await get('', tokens.user, path);
      expect([status, body.code]).toEqual([403, 'forbidden']);
    }
  });

  it('filters by time, type, prefix and user', async () => {
    expect(await idsOf(`?from=${minute(2).toISOString()}&to=${minute(4).toISOString()}`)).toEqual(pick(2, 1));
    const east = encodeURIComponent('2026-05-10T14:02:00+02:00');
    expect(await idsOf(`?from=${east}&to=${minute(3).toISOString()}`)).toEqual(pick(1));
    expect(await idsOf(`?${day}&type=auth.login.failure`)).toEqual(pick(2, 1));
    expect(await idsOf(`?${day}&type=auth.login.*`)).toEqual(pick(2, 1, 0));
    expect(await idsOf(`?${day}&type=auth.*`)).toEqual(pick(5, 3, 2, 1, 0));
    expect(await idsOf(`?${day}&type=auth.log.*`)).toEqual([]);
    expect(await idsOf(`?${day}&user_id=${user.toUpperCase()}`)).toEqual(pick(0));
    expect(await idsOf(`?${day}&type=auth.login.*`, tokens.admin)).toEqual(pick(1, 0));
  });

  it('an item says all that is known', async () => {
    const { body } = await get(`?${day}&user_id=${user}`);
    expect(body.items[0]).toEqual({
      ...{ id: ids[0], type: 'auth.login.success', severity: 'info', outcome: 'success' },
      ...{ occurred_at: minute(1).toISOString(), recorded_at: expect.stringMatching(/^\d{4}-.*Z$/) },
      ...{ tenant_id: ours, user_id: user, actor: user, subject: 'user:x', client_ip: '192.0.2.1' },
      ...{ user_agent: null, trace_id: null, source: '/gatehouse/audit' },
      data: expect.objectContaining({ user_id: user, client_ip: '192.0.2.1', tenant_id: ours }),
    });
  });

  it('pages with a cursor show each event once, also while new ones come', async () => {
    const seen: string[] = [];
    let cursor = '';
    for (;;) {
      const { body } = await get(`?${day}&limit=2${cursor}`);
      seen.push(...body.items.map(({ id }: { id: string }) => id));
      if (body.next_cursor === null) break;
      cursor = `&cursor=${encodeURIComponent(body.next_cursor)}`;
      await audit.tell([{ tenant: ours, at: minute(50) }]);
    }
    const [a, b] = pick(4, 5).toSorted().toReversed();
    expect(seen).toEqual([a, b, ...pick(3, 2, 1, 0)]);
  });

  it('a cursor that was changed, or made for another tenant or filter, is refused', async () => {
    const { body } = await get(`?${day}&limit=1`, tokens.admin);
    const cursor: string = body.next_cursor;
    expect((await get(`?${day}&limit=5&cursor=${cursor}`, tokens.admin)).status).toBe(200);
    const wrong = [
      [`?${day}&cursor=${cursor}`, tokens.platform],
      [`?cursor=${cursor}`, tokens.admin],
      [`?${day}&type=auth.*&cursor=${cursor}`, tokens.admin],
      [`?${day}&cursor=${cursor.slice(0, -1)}x`, tokens.admin],
      [`?${day}&cursor=x${cursor}`, tokens.admin],
      [`?${day}&cursor=`, tokens.admin],
      [`?${day}&cursor=${Buffer.from('["2026-01-01",null]').toString('base64url')}.x`, tokens.admin],
    ] as const;
    for (const [query, token] of wrong) {
      const answer = await get(query, token);
      expect([answer.status, answer.body.code], query).toEqual([400, 'bad_cursor']);
    }
  });

  it('what is no filter is refused with 400, never taken for none and never a 500', async () => {
    const wrong = [
      ...['limit=0', 'limit=201', 'limit=-1', 'limit=1e3', 'limit=', 'limit=1&limit=2', 'limit=99999999999'],
      ...[
        'from=yesterday',
        'from=2026-02-31T25:00:00Z',
        'to=2026-13-01T00:00:00Z',
        'from=2026-05-10',
        'from=',
      ],
      ...['type=AUTH', 'type=auth.%25', 'type=*', 'type=auth.*.x', 'type=a%00b', `type=${'a'.repeat(101)}`],
      ...['tenant_id=x', 'user_id=1', 'tenant=x', 'tenant_id=', 'type[]=x', '__proto__=x', 'user_id=%00'],
      ...[`from=${'9'.repeat(4)}-12-31T23:59:59%2B23:59:99`, 'from=2026-05-10T12:00:00+02:00'],
    ];
    for (const query of wrong) {
      const answer = await get(`?${query}`);
      expect([answer.status, answer.body?.code?.startsWith('invalid')], query).toEqual([400, true]);
    }
    for (const query of [
      'from=0001-01-01T00:00:00Z',
      'to=9999-12-31T23:59:59Z',
      'from=2030-01-01T00:00:00Z&to=2020-01-01T00:00:00Z',
    ])
      expect((await get(`?${query}`)).status, query).toBe(200);
  });

  it('one event is read by its id, and only by who may know of it', async () => {
    const [own, foreign, nobodys] = pick(0, 2, 4);
    expect((await get('', tokens.admin, `${list}/${own}`)).body).toMatchObject({ id: own, tenant_id: ours });
    expect((await get('', tokens.platform, `${list}/${foreign}`)).body).toMatchObject({ id: foreign });
    for (const id of [foreign, nobodys, newId()]) {
      const { status, body } = await get('', tokens.admin, `${list}/${id}`);
      expect([status, body.code]).toEqual([404, 'not_found']);
    }
    expect((await get('', tokens.admin, `${list}/not-an-id`)).status).toBe(400);
  });
});
