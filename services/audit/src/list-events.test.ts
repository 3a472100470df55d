import { randomUUID } from 'node:crypto';
import { newId } from '@gatehouse/kit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ADMIN, PLATFORM_ADMIN, type Sample, startAudit, type TestAudit, USER } from './testing.ts';

const list = '/api/audit/events';
const minute = (offset: number) => new Date(Date.UTC(2026, 4, 10, 12, offset));
/** Out of the way of what lists the first day. */
const later = (offset: number) => new Date(Date.UTC(2026, 4, 20, 12, offset));

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

  it('filters by actor, subject, address and network, outcome, severity, trace', async () => {
    const [tenant, person, other] = [randomUUID(), randomUUID(), randomUUID()];
    const trace = randomUUID().replaceAll('-', '');
    const told = await audit.tell([
      {
        ...{ tenant, at: later(1), type: 'admin.user.locked', aggregate: `user:${person}` },
        data: { user_id: person, actor_id: other, client_ip: '198.51.100.7' },
        traceparent: `00-${trace}-b7ad6b7169203331-01`,
      },
      { tenant, at: later(2), type: 'auth.login.failure', data: { client_ip: '198.51.100.200' } },
      {
        tenant,
        at: later(3),
        type: 'auth.login.success',
        data: { client_ip: '2001:db8:1::7', user_id: person },
      },
      { tenant, at: later(4), type: 'security.refresh_replay_detected', data: { client_ip: '203.0.113.1' } },
    ]);
    const found = async (query: string) =>
      (await idsOf(`?tenant_id=${tenant}&${query}`)).map((id: string) => told.indexOf(id));
    expect(await found(`actor=${other}`)).toEqual([0]);
    expect(await found(`actor=${person}`)).toEqual([2]);
    expect(await found(`subject=user:${person}`)).toEqual([0]);
    expect(await found(`user_id=${person}`)).toEqual([2, 0]);
    expect(await found('client_ip=198.51.100.7')).toEqual([0]);
    expect(await found('client_ip=::ffff:198.51.100.7')).toEqual([0]);
    expect(await found('client_ip=198.51.100.0/24')).toEqual([1, 0]);
    expect(await found('client_ip=198.51.100.77/25')).toEqual([0]);
    expect(await found('client_ip=2001:DB8::/32')).toEqual([2]);
    expect(await found('client_ip=0.0.0.0/0')).toEqual([3, 1, 0]);
    expect(await found('outcome=failure')).toEqual([3, 1]);
    expect(await found('severity=critical')).toEqual([3]);
    expect(await found(`trace_id=${trace.toUpperCase()}`)).toEqual([0]);
    expect(await found('type=auth.login.failure,admin.*')).toEqual([1, 0]);
    expect(await found(`type=auth.*&outcome=failure&client_ip=198.51.100.0/24`)).toEqual([1]);
    expect(await found(`user_id=${person}&type=auth.*&severity=info`)).toEqual([2]);
    // Types without a tenant are read each by itself and merged.
    expect(
      await idsOf(
        `?from=${later(0).toISOString()}&to=${later(60).toISOString()}&type=admin.user.locked,security.refresh_replay_detected`,
      ),
    ).toEqual([told[3], told[0]]);
  });

  it('text: every word must be there, whole, in any case; names, ids and times of every event are not text', async () => {
    const tenant = randomUUID();
    const told = await audit.tell([
      {
        ...{ tenant, at: later(1), type: 'admin.user.locked' },
        data: { reason: 'Stolen notebook (Zürich), ticket OPS-4711', before: { note: 'deep.Down' } },
      },
      {
        tenant,
        at: later(2),
        data: { user_agent: 'Mozilla/5.0 (X11; Linux x86_64)', email: 'jo@example.org' },
      },
      { tenant, at: later(3), data: { reason: 'stolen' } },
    ]);
    const found = async (q: string) =>
      (await idsOf(`?tenant_id=${tenant}&q=${encodeURIComponent(q)}`)).map((id: string) => told.indexOf(id));
    expect(await found('stolen')).toEqual([2, 0]);
    expect(await found('STOLEN notebook')).toEqual([0]);
    expect(await found('ops-4711')).toEqual([0]);
    expect(await found('zürich')).toEqual([0]);
    expect(await found('down')).toEqual([0]);
    expect(await found('x86_64')).toEqual([1]);
    expect(await found('jo@example.org')).toEqual([1]);
    expect(await found('locked')).toEqual([0]);
    expect(await found('note')).toEqual([]);
    expect(await found('stole')).toEqual([]);
    expect(await found('reason')).toEqual([]);
    expect(await found(tenant)).toEqual([]);
    expect(await found("%' or 1=1 --")).toEqual([]);
    expect((await get('?q=%2C%20.')).status).toBe(400);
  });

  it('what is rare is found behind thousands of others, page by page, once', async () => {
    const tenant = randomUUID();
    const [at, rare] = [later(30), Array.from({ length: 7 }, () => newId())];
    // Straight into the table: what searches read, without the way through the bus.
    await audit.platform.database.query(
      `insert into audit.event (chain, sequence, id, recorded_at, occurred_at, type, severity, outcome, source, tenant_id,
         data, client_ip, content_hash, hash)
       select $1::text, n, case when n % 1000 = 0 then ($3::uuid[])[n / 1000] else gen_random_uuid() end, now(),
         $2::timestamptz - n * interval '1 second', case when n % 1000 = 0 then 'rare.type' else 'auth.login.success' end,
         'info', 'success', '/test', $1::text::uuid,
         case when n % 1000 = 0 then '{"reason":"needle"}'::jsonb else '{"reason":"hay"}' end,
         (case when n % 1000 = 0 then '192.0.2.200' else '198.51.100.1' end)::inet, '', ''
       from generate_series(1, 7500) as n`,
      [tenant, at, rare],
    );
    for (const query of [
      'q=needle',
      'type=rare.type',
      'type=rare.*',
      'client_ip=192.0.2.128/25',
      'q=needle&outcome=success',
    ]) {
      const seen: string[] = [];
      for (let cursor = ''; ; ) {
        const { body, text } = await get(`?tenant_id=${tenant}&${query}&limit=2${cursor}`);
        expect(body.items, text).toBeDefined();
        seen.push(...body.items.map(({ id }: { id: string }) => id));
        if (body.next_cursor === null) break;
        cursor = `&cursor=${body.next_cursor}`;
      }
      expect(seen, query).toEqual(rare);
    }
    expect(await idsOf(`?tenant_id=${tenant}&q=nothing`)).toEqual([]);
  });

  it('what was personal and is erased is null, and no longer found', async () => {
    const tenant = randomUUID();
    const [id] = await audit.tell([
      {
        tenant,
        data: { user_id: user, client_ip: '192.0.2.9', user_agent: 'Erasable/1', email: 'gone@example.org' },
      },
    ]);
    const where = 'client_ip = null, personal = null, personal_salt = null';
    await audit.platform.database.query(`update audit.event set ${where} where id = $1`, [id]);
    const { body } = await get(`?tenant_id=${tenant}`);
    expect(body.items[0]).toMatchObject({
      ...{ client_ip: null, user_agent: null, user_id: user },
      data: { client_ip: null, user_agent: null, email: null },
    });
    expect(await idsOf(`?tenant_id=${tenant}&q=gone`)).toEqual([]);
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
      ...['type=AUTH', 'type=auth.%25', 'type=*', 'type=auth.*.x', 'type=a%00b', `type=${'a'.repeat(1001)}`],
      ...['tenant_id=x', 'user_id=1', 'tenant=x', 'tenant_id=', 'type[]=x', '__proto__=x', 'user_id=%00'],
      ...[
        'client_ip=300.1.1.1',
        'client_ip=192.0.2.0/33',
        'client_ip=x',
        'client_ip=::1/129',
        'client_ip=',
        'q=',
        'q=...',
      ],
      ...[
        `q=${'a+'.repeat(9)}b+c+d+e+f+g+h+i`,
        `q=${'a'.repeat(301)}`,
        'outcome=good',
        'severity=debug',
        'trace_id=1',
      ],
      ...['type=a,', 'type=,a', 'type=a,,b', 'actor=', 'subject=a%00'],
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
