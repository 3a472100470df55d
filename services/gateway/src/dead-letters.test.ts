import { randomUUID } from 'node:crypto';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { eventually } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  ADMIN,
  type Administered,
  AUDITOR,
  PLATFORM_ADMIN,
  SUPPORT,
  startAdministered,
  USER,
} from './administration-testing.ts';

let platform: Administered;
let root: string;
beforeAll(async () => {
  platform = await startAdministered();
  root = await platform.accessToken(PLATFORM_ADMIN);
});
afterAll(() => platform?.close());
beforeEach(() =>
  platform.behind.database.query('truncate audit.dead_letter, token.dead_letter, gateway.dead_letter'),
);

const list = '/api/admin/dead-letters';
const get = (path: string, token: string | undefined = root) => platform.api.get(path, { token });
const replay = (id: string, body: object = { reason: 'mended' }, token = root) =>
  platform.api.post(`${list}/${id}/replay`, body, { token });
const discard = (id: string, body: object = { reason: 'no event' }) =>
  platform.api.post(`${list}/${id}/discard`, body, { token: root });

interface Letter {
  readonly schema?: 'audit' | 'token';
  readonly consumer?: string;
  readonly time?: string;
  readonly payload?: string;
  readonly at?: string;
  readonly headers?: Record<string, string>;
}

/** A letter as a consumer leaves it; unlike a real one it is in no inbox, as after a purge. */
async function bury(about: Letter = {}): Promise<{ id: string; eventId: string }> {
  const eventId = randomUUID();
  const headers = {
    ...{ 'ce-id': eventId, 'ce-type': 'auth.login.success', 'ce-source': '/gatehouse/auth' },
    ...{ 'ce-time': about.time ?? '2026-03-04T05:06:07.000Z', ...about.headers },
  };
  const [row] = await platform.behind.database.query<{ id: string }>(
    `insert into ${about.schema ?? 'audit'}.dead_letter
       (consumer, event_id, type, subject, headers, payload, reason, deliveries, created_at)
     values ($1, $2, 'auth.login.success', 'auth.login.success', $3, $4, 'Error: disk', 8, coalesce($5, now()))
     returning id`,
    [
      about.consumer ?? 'audit-record',
      eventId,
      headers,
      Buffer.from(about.payload ?? '{"email":"ada@example.com"}'),
      about.at ?? null,
    ],
  );
  return { id: row?.id ?? '', eventId };
}

/** The services at that address as a release was that had not got one of their answers: what it says of it is their own. */
async function withoutAnswer(url: string, name: string) {
  let refused: unknown;
  const server = createServer((incoming, outgoing) => {
    const unknown = incoming.url?.endsWith(`/${name}`) === true;
    const { method, headers } = incoming;
    const onward = request(
      `${url}${incoming.url}${unknown ? '-to-come' : ''}`,
      { method, headers },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk) => chunks.push(chunk));
        answer.on('end', () => {
          const text = Buffer.concat(chunks).toString();
          if (unknown) refused = { status: answer.statusCode, body: JSON.parse(text) };
          outgoing.writeHead(answer.statusCode ?? 500, {
            'content-type': answer.headers['content-type'] ?? '',
          });
          outgoing.end(text);
        });
      },
    );
    incoming.pipe(onward);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    refused: () => refused,
    close: () => new Promise((resolve) => server.close(resolve).closeAllConnections()),
  };
}

const recorded = (eventId: string) =>
  platform.behind.database.query('select type from audit.event where id = $1', [eventId]);

describe('dead letters through the gateway', () => {
  it('of every service are one list, newest first, in pages; who is silent is named', async () => {
    const made: string[] = [];
    for (let index = 0; index < 6; index += 1) {
      const at = `2026-03-04T05:06:0${index}.000001Z`;
      made.unshift((await bury({ at, schema: index % 2 === 0 ? 'token' : 'audit' })).id);
    }
    const whole = await get(list);
    expect(whole.status, whole.text).toBe(200);
    expect(whole.body.items.map(({ id }: { id: string }) => id)).toEqual(made);
    expect(whole.body.unreachable).toEqual(['nats-identity']);
    expect(whole.body.items[0]).toEqual({
      ...{ service: 'audit', id: made[0], consumer: 'audit-record', event_id: expect.any(String) },
      ...{ type: 'auth.login.success', subject: 'auth.login.success', reason: 'Error: disk', deliveries: 8 },
      ...{ created_at: '2026-03-04T05:06:05.000001Z', replayed_at: null, discarded_at: null },
    });
    const seen: string[] = [];
    let cursor = '';
    for (;;) {
      const { body } = await get(`${list}?limit=2${cursor}`);
      seen.push(...body.items.map(({ id }: { id: string }) => id));
      if (body.next_cursor === null) break;
      cursor = `&cursor=${body.next_cursor}`;
    }
    expect(seen).toEqual(made);
    const first = await get(`${list}?limit=2`);
    for (const other of ['replayed=any', 'state=discarded']) {
      const changed = await get(`${list}?limit=2&${other}&cursor=${first.body.next_cursor}`);
      expect([changed.status, changed.body.code]).toEqual([400, 'bad_cursor']);
    }
  });

  it('are filtered by service, consumer and state, and by nothing misspelt', async () => {
    await bury();
    await bury({ schema: 'token', consumer: 'token-other' });
    const count = async (query: string) => (await get(`${list}?${query}`)).body.items.length;
    expect(await count('service=token')).toBe(1);
    expect((await get(`${list}?service=token`)).body.unreachable).toEqual([]);
    expect(await count('consumer=audit-record')).toBe(1);
    const { id } = await bury();
    await discard(id);
    for (const [query, letters] of [
      ...[['state=open', 2] as const, ['replayed=false', 2] as const],
      ...[['state=replayed', 0] as const, ['replayed=true', 0] as const],
      ...[['state=discarded', 1] as const],
      ...[['state=all', 3] as const, ['replayed=any', 3] as const],
    ])
      expect(await count(query), query).toBe(letters);
    for (const wrong of [
      ...['service=nobody', 'replayed=yes', 'state=any', 'consumer=A%20B', 'kind=x', 'limit=0'],
      'state=open&replayed=false',
    ])
      expect((await get(`${list}?${wrong}`)).status, wrong).toBe(400);
  });

  it('are shown with payload and envelope, and with no header that is not ours', async () => {
    const { id, eventId } = await bury({ headers: { authorization: 'Bearer canary' } });
    const { status, body, text } = await get(`${list}/${id.toUpperCase()}`);
    expect(status, text).toBe(200);
    expect(body).toMatchObject({ service: 'audit', id, payload: '{"email":"ada@example.com"}' });
    expect(body.headers).toMatchObject({ 'ce-id': eventId });
    expect(text).not.toContain('canary');
  });

  it('are replayed once, with effect and reason', async () => {
    const { id, eventId } = await bury();
    const answers = await Promise.all([replay(id), replay(id), replay(id)]);
    expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 409, 409]);
    const [done] = answers.filter(({ status }) => status === 200);
    expect(done?.body).toMatchObject({ id, service: 'audit', replayed_at: expect.stringMatching(/Z$/) });
    expect(done?.body.payload).toBeUndefined();
    expect(answers.find(({ status }) => status === 409)?.body.code).toBe('already_replayed');
    expect(await recorded(eventId)).toHaveLength(1);
    const told = await eventually(async () => {
      const rows = await platform.behind.database.query<{ data: object; source: string; tenant_id: null }>(
        `select data, source, tenant_id from audit.event where type = 'admin.dead_letter.replayed'`,
      );
      if (rows.length === 0) throw new Error('not yet');
      return rows;
    });
    expect(told).toMatchObject([
      {
        tenant_id: null,
        source: '/gatehouse/audit',
        data: { reason: 'mended', letter_id: id, service: 'audit' },
      },
    ]);
  });

  it('that cannot be taken stay, and the answer says why', async () => {
    const failing = await bury({ time: 'never' });
    const refused = await replay(failing.id);
    expect([refused.status, refused.body.code]).toEqual([409, 'replay_failed']);
    expect(refused.body.detail).toContain('ce-time is not a time');
    expect((await get(`${list}/${failing.id}`)).body).toMatchObject({
      ...{ replayed_at: null, deliveries: 9, reason: 'Error: ce-time is not a time' },
    });
    const noEvent = await bury({ payload: 'x' });
    const elsewhere = await bury({ schema: 'token', consumer: 'gone' });
    for (const { id } of [noEvent, elsewhere]) {
      const { status, body } = await replay(id);
      expect([status, body.code]).toEqual([409, 'unreadable']);
    }
    expect((await replay(failing.id, { reason: ' ' })).body.code).toBe('reason_required');
  });

  it('that can never be taken are discarded once, with the reason in the audit, and no longer wait', async () => {
    const { id } = await bury({ payload: 'x' });
    expect((await replay(id)).body.code).toBe('unreadable');
    expect((await discard(id, { reason: ' ' })).body.code).toBe('reason_required');
    const answers = await Promise.all([discard(id), discard(id), discard(id)]);
    expect(answers.map(({ status }) => status).toSorted()).toEqual([200, 409, 409]);
    const [done] = answers.filter(({ status }) => status === 200);
    expect(done?.body).toMatchObject({ id, replayed_at: null, discarded_at: expect.stringMatching(/Z$/) });
    expect(done?.body.payload).toBeUndefined();
    expect(answers.find(({ status }) => status === 409)?.body.code).toBe('already_discarded');
    expect((await get(list)).body.items).toEqual([]);
    expect((await get(`${list}/${id}`)).body).toMatchObject({ payload: 'x' });
    const told = await eventually(async () => {
      const rows = await platform.behind.database.query<{ data: object; source: string; severity: string }>(
        `select data, source, severity from audit.event where type = 'admin.dead_letter.discarded'
         and data->>'letter_id' = $1`,
        [id],
      );
      if (rows.length === 0) throw new Error('not yet');
      return rows;
    });
    expect(told).toMatchObject([
      {
        severity: 'warning',
        source: '/gatehouse/audit',
        data: { reason: 'no event', consumer: 'audit-record' },
      },
    ]);
  });

  it('that were replayed are not discarded; what was discarded can be replayed', async () => {
    const { id, eventId } = await bury();
    await discard(id);
    const replayed = await replay(id);
    expect([replayed.status, replayed.body.replayed_at]).toEqual([200, expect.stringMatching(/Z$/)]);
    expect(await recorded(eventId)).toHaveLength(1);
    const late = await discard(id);
    expect([late.status, late.body.code]).toEqual([409, 'already_replayed']);
  });

  it('of a service whose release knows no discarding are refused by a sentence that says so, and stay as they are', async () => {
    const { id } = await bury();
    const older = await withoutAnswer(platform.behind.url, 'discard-dead-letter');
    const { api } = await platform.another({ AUDIT_URL: older.url });
    const refused = await api.post(`${list}/${id}/discard`, { reason: 'no event' }, { token: root });
    expect(older.refused()).toMatchObject({ status: 404, body: { code: 'not_found' } });
    expect([refused.status, refused.body.code]).toEqual([503, 'upstream_unavailable']);
    expect(refused.body.detail).toBe(
      'audit runs an older release that cannot do this yet, and nothing was changed: upgrade it, then ask again.',
    );
    expect((await get(`${list}/${id}`)).body).toMatchObject({ replayed_at: null, discarded_at: null });
    const told = `select from audit.outbox where type = 'admin.dead_letter.discarded' and data->>'letter_id' = $1`;
    expect(await platform.behind.database.query(told, [id])).toEqual([]);
    await older.close();
  });

  it('that were discarded longer ago than DEAD_LETTER_DAYS go by themselves, those that wait stay', async () => {
    const { query } = platform.behind.database;
    await query(
      `insert into gateway.dead_letter (consumer, type, subject, payload, reason, deliveries, created_at, discarded_at)
       values ('long-ago', 't', 's', '', 'r', 1, now() - interval '3 days', now() - interval '2 days'),
         ('waits', 't', 's', '', 'r', 1, now() - interval '3 days', null)`,
    );
    await platform.another({ DEAD_LETTER_DAYS: '1' });
    await eventually(async () =>
      expect(await query('select consumer from gateway.dead_letter')).toEqual([{ consumer: 'waits' }]),
    );
  });

  it('of nobody are 503 while a service is silent that may have them', async () => {
    const nobody = randomUUID();
    for (const answer of [await get(`${list}/${nobody}`), await replay(nobody), await discard(nobody)]) {
      expect([answer.status, answer.body.code]).toEqual([503, 'upstream_unavailable']);
      expect(answer.body.detail).toContain('nats-identity');
      expect(answer.headers.get('retry-after')).toBe('1');
    }
    expect((await get(`${list}/nonsense`)).status).toBe(400);
  });
});

describe('the gateway’s own routes', () => {
  const routes = [
    ['GET', list],
    ['GET', `${list}/${randomUUID()}`],
    ['POST', `${list}/${randomUUID()}/replay`],
    ['POST', `${list}/${randomUUID()}/discard`],
    ['POST', '/api/admin/rate-limits/reset'],
    ['GET', '/api/admin/settings'],
  ] as const;

  it.each(routes)('%s %s is for platform administrators alone', async (method, path) => {
    const ask = async (token?: string) =>
      (await platform.api.request(method, path, method === 'GET' ? undefined : {}, { token })).status;
    expect([await ask(), await ask('nonsense')]).toEqual([401, 401]);
    for (const roles of [USER, SUPPORT, AUDITOR, ADMIN])
      expect(await ask(await platform.accessToken(roles))).toBe(403);
    expect([200, 400, 503]).toContain(await ask(root));
  });
});
