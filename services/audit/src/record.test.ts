import { randomUUID } from 'node:crypto';
import { catalogue } from '@gatehouse/events';
import { newId } from '@gatehouse/kit';
import { eventually } from '@gatehouse/kit/testing';
import { type AuditDatabase, connect } from '@gatehouse/schema';
import { connect as connectNats, headers as makeHeaders } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { purgeInbox } from './purge-inbox.ts';
import { recorder } from './record.ts';
import { insert, startAudit, type TestAudit } from './testing.ts';

describe('recording', () => {
  let audit: TestAudit;
  beforeAll(async () => {
    audit = await startAudit();
  });
  afterAll(() => audit?.platform.close());

  it('every event of the catalogue becomes a row with the gravity that the catalogue gives it', async () => {
    const ids = await audit.tell(catalogue.map(({ type }) => ({ type })));
    const rows = await audit.rows(ids);
    const seen = rows.map(({ type, severity, outcome }) => ({ type, severity, outcome }));
    const wanted = catalogue.map(({ type, severity, outcome }) => ({ type, severity, outcome }));
    expect(seen).toEqual(expect.arrayContaining(wanted));
    expect(rows).toHaveLength(catalogue.length);
  });

  it('the columns that searches go by come from the envelope and the payload', async () => {
    const [tenant, user, actor] = [randomUUID(), randomUUID(), randomUUID()];
    const traceId = 'c28bfceb4fef887a6d0e41593ca106b5';
    const at = new Date('2026-11-22T01:02:03.456Z');
    const person = { user_id: user, client_ip: '192.0.2.1', user_agent: 'Firefox' };
    const ids = await audit.tell([
      {
        tenant,
        at,
        aggregate: `user:${user}`,
        data: person,
        traceparent: `00-${traceId}-4ab5494aed4beb64-00`,
      },
      { type: 'admin.user.status_changed', data: { ...person, actor_id: actor, reason: 'left' } },
      { type: 'admin.user.status_changed', data: { ...person, actor_id: null } },
    ]);
    const rows = await audit.rows(ids);
    expect(rows.find(({ id }) => id === ids[0])).toMatchObject({
      ...{ chain: tenant, tenant_id: tenant, user_id: user, actor: user, client_ip: '192.0.2.1' },
      ...{ subject: `user:${user}`, trace_id: traceId, source: '/gatehouse/audit', occurred_at: at },
      data: {
        user_id: user,
        tenant_id: tenant,
        trace_id: traceId,
        occurred_at: '2026-11-22T01:02:03.456Z',
      },
      personal: { client_ip: '192.0.2.1', user_agent: 'Firefox' },
    });
    expect(rows.find(({ id }) => id === ids[1])).toMatchObject({ chain: 'platform', actor, user_id: user });
    expect(rows.find(({ id }) => id === ids[2])).toMatchObject({ actor: null, user_id: user });
  });

  it('a type that this release does not know is recorded all the same', async () => {
    const ids = await audit.tell([
      { type: 'auth.invented.tomorrow', data: { user_id: 'no uuid', client_ip: 7 } },
    ]);
    expect((await audit.rows(ids))[0]).toMatchObject({
      ...{ type: 'auth.invented.tomorrow', severity: 'info', outcome: null },
      ...{ user_id: null, client_ip: null },
    });
  });

  it('an event published again, even after the inbox forgot it, leaves one row', async () => {
    // The inbox forgets nothing younger than a week.
    const at = new Date(Date.now() - 8 * 86_400_000);
    const ids = await audit.tell([{ at }, { at }, { at }]);
    const { database, metrics } = audit.platform;
    const consumed = async () => {
      const { values } = await metrics.eventsConsumed.get();
      return values.reduce((sum, { value }) => sum + value, 0);
    };
    const again = async () => {
      const before = await consumed();
      // Another incarnation of the message: the stream's window for duplicates does not see it.
      await republish(audit, ids);
      await eventually(async () => (await consumed()) >= before + ids.length);
      expect(await audit.rows(ids)).toHaveLength(ids.length);
    };
    await again();
    await database.query('delete from audit.inbox where event_id = any($1::uuid[])', [ids]);
    await again();
  });

  it('the months ahead are there', async () => {
    const rows = await audit.platform.database.query<{ name: string }>(
      `select c.relname as name from pg_inherits join pg_class c on c.oid = inhrelid
       where inhparent = 'audit.event'::regclass`,
    );
    const month = (offset: number) => {
      const now = new Date();
      const first = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + offset, 1));
      return `event_${first.toISOString().slice(0, 7).replace('-', '')}`;
    };
    expect(rows.map(({ name }) => name)).toEqual(expect.arrayContaining([month(0), month(1), month(2)]));
  });

  it('what cannot be an event becomes a dead letter and holds nobody up', async () => {
    // The second is tried again for a minute before it is given up on: packages/kit holds that.
    const { nats, database } = audit.platform;
    await publishRaw(
      nats.url,
      'auth.login.success',
      { 'ce-id': newId(), 'ce-type': 'x', 'ce-time': 'yesterday' },
      '{}',
    );
    await publishRaw(nats.url, 'auth.login.success', { 'ce-id': 'no id', 'ce-type': 'x' }, 'no json');
    await audit.tell([{}]);
    await eventually(async () => {
      const letters = await database.query('select event_id from audit.dead_letter');
      expect(letters).toEqual([{ event_id: null }]);
    });
  });

  it('says what it has recorded, and nothing else', async () => {
    const ids = await audit.tell([{}, {}]);
    const answer = await audit.ask('audit/recorded', { ids: [...ids, newId(), 'no uuid'] });
    expect(answer.status).toBe(200);
    expect([...(answer.body.recorded as string[])].sort()).toEqual([...ids].sort());
    expect((await audit.platform.api.post('/internal/audit/recorded', { ids })).status).toBe(404);
  });

  it('a thousand events at once are each recorded once', async () => {
    const ids = await audit.tell(Array.from({ length: 1000 }, () => ({})));
    expect(await audit.rows(ids)).toHaveLength(1000);
  });

  it('the inbox forgets what no delivery will come for, and only that', async () => {
    const [old, young] = await insert(audit.platform, [{}, {}]);
    await eventually(async () => (await audit.rows([old ?? '', young ?? ''])).length === 2);
    const { database } = audit.platform;
    await database.query(
      `update audit.inbox set received_at = now() - interval '15 days' where event_id = $1`,
      [old],
    );
    const own = connect<AuditDatabase>({ url: database.url, service: 'audit' });
    await purgeInbox(own).finally(() => own.close());
    const left = await database.query(
      'select event_id from audit.inbox where consumer = $1 and event_id = any($2)',
      [recorder, [old, young]],
    );
    expect(left).toEqual([{ event_id: young }]);
  });
});

/** Puts copies of recorded events on the bus, as an outbox does that never heard of the acknowledgement. */
async function republish({ platform }: TestAudit, ids: readonly string[]): Promise<void> {
  const rows = await platform.database.query<{ id: string; type: string; occurred_at: Date; data: object }>(
    'select id, type, occurred_at, data from audit.event where id = any($1::uuid[])',
    [ids],
  );
  for (const { id, type, occurred_at, data } of rows) {
    const headers = {
      'ce-id': id,
      'ce-type': type,
      'ce-time': occurred_at.toISOString(),
      'ce-source': '/gatehouse/audit',
    };
    await publishRaw(platform.nats.url, type, headers, JSON.stringify(data));
  }
}

async function publishRaw(
  url: string,
  subject: string,
  headers: Readonly<Record<string, string>>,
  body: string,
): Promise<void> {
  const { username: user, password: pass, host } = new URL(url);
  const connection = await connectNats({ servers: host, user, pass });
  const head = makeHeaders();
  for (const [name, value] of Object.entries(headers)) head.set(name, value);
  connection.publish(subject, body, { headers: head });
  await connection.drain();
}
