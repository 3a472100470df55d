import { eventually } from '@gatehouse/kit/testing';
import { type AuditDatabase, type Connection, connect } from '@gatehouse/schema';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chainFaults } from './chain-testing.ts';
import { ADMIN, PLATFORM_ADMIN, startAudit, type TestAudit, USER } from './testing.ts';

describe('erasing a person', () => {
  let audit: TestAudit;
  let own: Connection<AuditDatabase>;
  beforeAll(async () => {
    audit = await startAudit();
    own = connect<AuditDatabase>({ url: audit.platform.database.url, service: 'audit' });
  });
  afterAll(async () => {
    await own?.close();
    await audit?.platform.close();
  });

  const erase = (body: unknown, token: string | undefined) =>
    audit.platform.api.post('/api/audit/erasures', body, { token });
  /** Somebody who signs in, in a tenant of their own, with what the trail has of them. */
  const somebody = () => {
    const [user, tenant, admin] = [crypto.randomUUID(), crypto.randomUUID(), crypto.randomUUID()];
    const email = `${user}@example.com`;
    return { user, tenant, admin, email };
  };
  const where = (ip: string) => ({ client_ip: ip, user_agent: 'Firefox' });
  const told = (user: string) =>
    audit.platform.database.query<{ data: { records: number; reason: string }; tenant_id: string }>(
      `select data, tenant_id from audit.event where type = 'audit.erased' and user_id = $1 order by sequence`,
      [user],
    );

  it('takes what is personal out of what they did, and leaves the rest, the chains and the others', async () => {
    const { user, tenant, admin, email } = somebody();
    const other = crypto.randomUUID();
    const ids = await audit.tell([
      { tenant, data: { user_id: user, email, ...where('192.0.2.1') } },
      {
        tenant,
        type: 'auth.login.failure',
        data: { user_id: null, email: email.toUpperCase(), ...where('192.0.2.2') },
      },
      // The administrator's own address, in a change of the person.
      {
        tenant,
        type: 'admin.user.status_changed',
        data: { user_id: user, actor_id: admin, reason: 'x', ...where('192.0.2.3') },
      },
      { tenant, data: { user_id: other, email: 'other@example.com', ...where('192.0.2.4') } },
      // The person's e-mail, in what the administrator did.
      {
        tenant,
        type: 'admin.user.created',
        data: { user_id: user, email, actor_id: admin, reason: 'x', ...where('192.0.2.5') },
      },
      { tenant, type: 'session.refreshed', data: { user_id: user } },
    ]);
    const token = await audit.accessToken(ADMIN, tenant);
    const answer = await erase({ user_id: user.toUpperCase(), reason: 'asked for it' }, token);
    expect(answer.body).toEqual({ records: 3, complete: true });

    const rows = new Map((await audit.rows(ids)).map((row) => [row.id, row]));
    const at = (index: number) => rows.get(ids[index] ?? '');
    for (const index of [0, 1, 4])
      expect(at(index)).toMatchObject({ client_ip: null, personal: null, personal_salt: null });
    expect(at(0)).toMatchObject({ user_id: user, actor: user });
    expect(at(2)).toMatchObject({ client_ip: '192.0.2.3', actor: admin });
    expect(at(3)).toMatchObject({ client_ip: '192.0.2.4' });
    expect(await chainFaults(own.db)).toEqual([]);

    // In no answer, neither of the list nor of the one.
    const list = await audit.platform.api.get('/api/audit/events', { token });
    const one = await audit.platform.api.get(`/api/audit/events/${ids[0]}`, { token });
    for (const text of [list.text, one.text])
      for (const personal of ['192.0.2.1', '192.0.2.2', email, email.toUpperCase()])
        expect(text).not.toContain(personal);
    await eventually(async () =>
      expect(await told(user)).toEqual([
        { tenant_id: tenant, data: expect.objectContaining({ records: 3, reason: 'asked for it' }) },
      ]),
    );
    // Again finds nothing, and tells nothing.
    expect((await erase({ user_id: user, reason: 'again' }, token)).body).toEqual({
      records: 0,
      complete: true,
    });
    expect(await told(user)).toHaveLength(1);
  });

  it('finds somebody who never acted, by what was done to them', async () => {
    const { user, tenant, admin, email } = somebody();
    const ids = await audit.tell([
      {
        tenant,
        type: 'admin.user.created',
        data: { user_id: user, email, actor_id: admin, ...where('192.0.2.1') },
      },
      { tenant, type: 'auth.login.failure', data: { user_id: null, email, ...where('192.0.2.2') } },
      {
        tenant,
        type: 'admin.user.created',
        data: { user_id: admin, email: 'b@example.com', actor_id: admin },
      },
    ]);
    const token = await audit.accessToken(ADMIN, tenant);
    expect((await erase({ user_id: user, reason: 'x' }, token)).body).toEqual({ records: 2, complete: true });
    const left = (await audit.rows(ids)).filter(({ personal }) => personal !== null);
    expect(left.map(({ id }) => id)).toEqual([ids[2]]);
    expect(await chainFaults(own.db)).toEqual([]);
  });

  it('is done in the own tenant alone by its administrator, everywhere by one of the platform', async () => {
    const { user, tenant, email } = somebody();
    const elsewhere = crypto.randomUUID();
    const data = { user_id: user, email, ...where('198.51.100.7') };
    await audit.tell([{ tenant, data }, { tenant: elsewhere, data }, { data }]);
    const counts = async () => {
      const rows = await audit.platform.database.query<{ chain: string }>(
        'select chain from audit.event where actor = $1 and personal is not null',
        [user],
      );
      return rows.map(({ chain }) => chain).sort();
    };
    const stranger = await audit.accessToken(ADMIN);
    expect((await erase({ user_id: user, reason: 'x' }, stranger)).status).toBe(404);
    expect(await counts()).toHaveLength(3);
    const admin = await audit.accessToken(ADMIN, tenant);
    expect((await erase({ user_id: user, reason: 'x' }, admin)).body.records).toBe(1);
    expect(await counts()).toEqual([elsewhere, 'platform'].sort());
    const platform = await audit.accessToken(PLATFORM_ADMIN);
    expect((await erase({ user_id: user, reason: 'x' }, platform)).body.records).toBe(2);
    expect(await counts()).toEqual([]);
  });

  it('goes over thousands of records in batches, each told of, and misses none', async () => {
    const { user, tenant } = somebody();
    await audit.tell([{ tenant, data: { user_id: user, ...where('203.0.113.1') } }]);
    // As many as two batches and a half, all of one moment: the way from batch to batch must not skip any of it.
    await audit.platform.database.query(
      `insert into audit.event (chain, sequence, id, recorded_at, occurred_at, type, severity, source, tenant_id, user_id,
         actor, data, client_ip, personal, personal_salt, personal_digest, content_hash, hash)
       select 'filled', n, gen_random_uuid(), e.recorded_at, e.occurred_at, e.type, e.severity, e.source, e.tenant_id,
         e.user_id, e.actor, e.data, e.client_ip, e.personal, e.personal_salt, e.personal_digest, e.content_hash, e.hash
       from audit.event e, generate_series(1, 12499) as n where e.actor = $1`,
      [user],
    );
    const token = await audit.accessToken(ADMIN, tenant);
    const { body } = await erase({ user_id: user, reason: 'asked' }, token);
    expect(body).toEqual({ records: 12_500, complete: true });
    await eventually(async () => {
      const records = (await told(user)).map(({ data }) => data.records);
      expect(records).toEqual([5_000, 5_000, 2_500]);
    });
    expect(
      await audit.platform.database.query(
        'select from audit.event where actor = $1 and (personal is not null or client_ip is not null)',
        [user],
      ),
    ).toEqual([]);
  });

  it('is refused to who may not, without a reason, for nobody known, and for oneself', async () => {
    const { user, tenant } = somebody();
    await audit.tell([{ tenant, data: { user_id: user, ...where('192.0.2.9') } }]);
    expect((await erase({ user_id: user, reason: 'x' }, undefined)).status).toBe(401);
    for (const role of [USER, [...USER, 'AUDITOR'], [...USER, 'SUPPORT']])
      expect(
        (await erase({ user_id: user, reason: 'x' }, await audit.accessToken(role, tenant))).status,
      ).toBe(403);
    const admin = await audit.accessToken(ADMIN, tenant);
    for (const reason of [undefined, '  '])
      expect((await erase({ user_id: user, reason }, admin)).body.code).toBe('reason_required');
    expect((await erase({ user_id: crypto.randomUUID(), reason: 'x' }, admin)).body.code).toBe('not_found');
    expect((await erase({ user_id: 'x', reason: 'x' }, admin)).status).toBe(400);
    const [, payload = ''] = admin.split('.');
    const { sub } = JSON.parse(Buffer.from(payload, 'base64url').toString());
    await audit.tell([{ tenant, data: { user_id: sub, ...where('192.0.2.10') } }]);
    expect((await erase({ user_id: sub, reason: 'x' }, admin)).body.code).toBe('conflict');
  });
});
