import { randomUUID } from 'node:crypto';
import { get as httpGet } from 'node:http';
import { eventually } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ADMIN, PLATFORM_ADMIN, type Sample, startAudit, type TestAudit, USER } from './testing.ts';

const path = '/api/audit/export';
const minute = (offset: number) => new Date(Date.UTC(2026, 4, 10, 12, offset));
type Line = Record<string, unknown>;

describe('the export of the trail', () => {
  let audit: TestAudit;
  const [ours, theirs] = [randomUUID(), randomUUID()];
  let tokens: { admin: string; platform: string; user: string };
  let ids: string[];
  const get = (query = '', token = tokens.platform) => audit.platform.api.get(`${path}${query}`, { token });
  const lines = async (query = '', token = tokens.platform): Promise<Line[]> => {
    const { status, text } = await get(query, token);
    expect(status, text).toBe(200);
    return text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
  };
  const idsOf = (all: readonly Line[]) => all.flatMap(({ id }) => (id === undefined ? [] : [id]));
  /** The newest export that the audit tells of. */
  const told = (matches: (data: Line) => boolean) =>
    eventually(async () => {
      const rows = await audit.platform.database.query<{ data: Line; chain: string }>(
        `select chain, data from audit.event where type = 'audit.exported' order by sequence desc`,
        [],
      );
      const found = rows.find(({ data }) => matches(data));
      if (found === undefined) throw new Error('not told yet');
      return found;
    });

  beforeAll(async () => {
    audit = await startAudit();
    const [admin, platform, user] = await Promise.all([
      audit.accessToken(ADMIN, ours),
      audit.accessToken(PLATFORM_ADMIN, ours),
      audit.accessToken(USER, ours),
    ]);
    tokens = { admin, platform, user };
    const samples: Sample[] = [
      { tenant: ours, at: minute(1), data: { client_ip: '192.0.2.1', email: '=cmd()@example.org' } },
      {
        tenant: ours,
        at: minute(2),
        type: 'auth.login.failure',
        data: { reason: 'a "quoted", one\nof two' },
      },
      { tenant: theirs, at: minute(3), type: 'auth.login.failure' },
      { tenant: ours, at: new Date(Date.UTC(2026, 4, 10, 23, 59, 59, 999)), type: 'auth.lockout' },
      { tenant: null, at: minute(5), type: 'security.rate_limited' },
      { tenant: ours, at: new Date(Date.UTC(2026, 4, 11)), type: 'auth.login.success' },
    ];
    // One at a time: their order in the chain is the order here.
    ids = [];
    for (const sample of samples) ids.push(...(await audit.tell([sample])));
  });
  afterAll(() => audit?.platform.close());
  const pick = (...indexes: number[]) => indexes.map((index) => ids[index]);

  it('an administrator gets the own tenant, a platform administrator all or one, nobody else anything', async () => {
    expect(idsOf(await lines('?end=2026-05-11', tokens.admin))).toEqual(pick(0, 1, 3, 5));
    expect(idsOf(await lines(`?tenant_id=${theirs}&end=2026-05-11`))).toEqual(pick(2));
    const all = idsOf(await lines());
    for (const id of ids) expect(all).toContain(id);
    const { status, body } = await get(`?tenant_id=${theirs}`, tokens.admin);
    expect([status, body.code]).toEqual([404, 'unknown_tenant']);
    expect((await audit.platform.api.get(path)).status).toBe(401);
    expect((await get('', tokens.user)).status).toBe(403);
  });

  it('the log of a tenant’s export and its cursor name no other tenant', async () => {
    // Something unsigned, which the cursor has to carry.
    await audit.platform.database.query(
      `insert into audit.fault (id, cause, detail, note) values (gen_random_uuid(), 'test', 'test', 'test')`,
      [],
    );
    await audit.tell([{ tenant: theirs }, { tenant: null }]);
    const { text, headers } = await get('', tokens.admin);
    await audit.platform.database.query('delete from audit.fault', []);
    const cursor = Buffer.from(headers.get('gatehouse-export-cursor') ?? '', 'base64url').toString();
    expect(cursor).toMatch(/^\[\d+/);
    expect(cursor).not.toContain(theirs);
    expect(cursor).not.toContain('platform');
    expect(text).toContain(ours);
    expect(text).not.toContain(theirs);
    expect(text).not.toContain('"platform"');
  });

  it('dates are whole days, times are exact, types are types and words', async () => {
    const of = async (query: string) => idsOf(await lines(`?tenant_id=${ours}&${query}`));
    expect(await of('start=2026-05-10&end=2026-05-10')).toEqual(pick(0, 1, 3));
    expect(await of('start=2026-05-11&end=2026-05-11')).toEqual(pick(5));
    expect(await of(`start=${minute(2).toISOString()}&end=2026-05-10T23:59:59.999Z`)).toEqual(pick(1));
    expect(await of('end=2026-05-10&types=auth.login.failure,auth.lockout')).toEqual(pick(1, 3));
    expect(await of('end=2026-05-10&types=auth.login.*')).toEqual(pick(0, 1));
    expect(await of('start=2027-01-01')).toEqual([]);
  });

  it('what is no question is refused, and no refusal is told of', async () => {
    const wrong = [
      ...['start=yesterday', 'start=2026-02-31', 'end=2026-13-01', 'start=2026-05-11&end=2026-05-10'],
      ...['format=xml', 'types=A', 'proof=half', 'unknown=1', 'after=x', 'after=platform:1', 'reason=a%00b'],
    ];
    for (const query of wrong) expect((await get(`?${query}`)).status, query).toBe(400);
    const { status, body } = await get('?cursor=x.y');
    expect([status, body.code]).toEqual([400, 'bad_cursor']);
  });

  it('CSV: a line a record, quoted, no formula, the same columns for each', async () => {
    const { text, headers } = await get('?format=csv&end=2026-05-10', tokens.admin);
    expect(headers.get('content-type')).toContain('text/csv');
    const [head, first, second, ...rest] = text.split('\r\n');
    expect(head).toBe(
      'chain,sequence,id,occurred_at,recorded_at,type,severity,outcome,source,tenant_id,user_id,actor,subject,client_ip,user_agent,trace_id,data,personal,hash',
    );
    expect(first).toContain(',192.0.2.1,');
    expect(second).toContain('\\""quoted\\"", one\\nof two');
    expect(rest).toHaveLength(2);
  });

  it('JSON is one document with the records, the log and the end', async () => {
    const { body } = await get(`?format=json&tenant_id=${ours}&end=2026-05-10`);
    expect(body.export).toMatchObject({ gatehouse_export: 1, proof: 'full', tenant_id: ours });
    expect(idsOf(body.events)).toEqual(pick(0, 1, 3));
    expect(body.end).toEqual({ records: 3 });
    expect(body.checkpoint).toContain('\n\n— ');
    expect((await get('?format=json&start=2099-01-01')).body.events).toEqual([]);
    expect((await get('?format=json&proof=none')).body.log).toEqual([]);
  });

  it('each export is told of, with who, what and why; a look at its headers is not', async () => {
    await get(`?tenant_id=${ours}&format=csv&types=auth.*&reason=yearly%20audit`);
    const { data, chain } = await told(({ reason }) => reason === 'yearly audit');
    expect(chain).toBe(ours);
    expect(data).toMatchObject({
      ...{ format: 'csv', records: 5 - 1, complete: true },
      filters: { types: 'auth.*', tenant_id: ours, proof: 'none' },
    });
    expect(data.actor_id).toMatch(/^[0-9a-f-]{36}$/);
    const answer = await fetch(new URL(`${path}?reason=only%20looking`, audit.platform.url), {
      method: 'HEAD',
      headers: { authorization: `Bearer ${tokens.platform}` },
    });
    expect(answer.status).toBe(200);
    expect(Number(answer.headers.get('gatehouse-export-total'))).toBeGreaterThanOrEqual(6);
    await get('?reason=after');
    await told(({ reason }) => reason === 'after');
    await expect(
      audit.platform.database.query(`select from audit.event where data->>'reason' = 'only looking'`, []),
    ).resolves.toEqual([]);
  });

  it('gone on with from any line, in any format, it is the same to the byte; later events are not in it', async () => {
    for (const format of ['ndjson', 'json', 'csv', 'ocsf'] as const) {
      const query = `?format=${format}&tenant_id=${ours}&types=auth.*`;
      const whole = await get(query);
      const cursor = whole.headers.get('gatehouse-export-cursor') ?? '';
      await audit.tell([{ tenant: ours, type: 'auth.lockout' }]);
      const parts = whole.text.split(/(?<=\n)/);
      for (let cut = 1; cut < parts.length; cut += 1) {
        const kept = parts.slice(0, cut);
        const place = placeOf(kept.at(-1) ?? '', format);
        if (place === undefined) continue;
        const rest = await get(`${query}&cursor=${cursor}&after=${place}`);
        const joined = kept.join('').replace(format === 'json' ? /,?\n$/ : /$^/, '') + rest.text;
        expect(joined.replace(/"records":\d+/, ''), format).toBe(whole.text.replace(/"records":\d+/, ''));
      }
      const other = await get(`${query.replace('auth.*', 'auth.lockout')}&cursor=${cursor}&after=${ours}:1`);
      expect(other.body.code).toBe('bad_cursor');
    }
  });

  it('a client that goes away ends it, and it is told of as broken off', async () => {
    const tenant = randomUUID();
    await audit.platform.database.query(
      `with rows as (
         insert into audit.event (chain, sequence, id, recorded_at, occurred_at, type, severity, source, tenant_id, data, content_hash, hash)
         select $1::text, n, gen_random_uuid(), now(), now(), 'x.y', 'info', '/test', $1::text::uuid,
           jsonb_build_object('fill', repeat('x', 2000)), '', '' from generate_series(1, 20000) as n returning 1)
       insert into audit.chain (chain, sequence, hash, recorded_at, dropped_hash) select $1, 20000, '', now(), ''`,
      [tenant],
    );
    await new Promise<void>((resolve, reject) => {
      const url = new URL(`${path}?tenant_id=${tenant}&reason=gone`, audit.platform.url);
      httpGet(url, { headers: { authorization: `Bearer ${tokens.platform}` } }, (answer) => {
        answer.once('data', () => {
          answer.destroy();
          resolve();
        });
      }).once('error', reject);
    });
    const { data } = await told(({ reason }) => reason === 'gone');
    expect(data.complete).toBe(false);
    // It read no further than the connection took.
    expect(data.records).toBeLessThan(15_000);
  });
});

/** Chain and sequence of a line; undefined when it is none of a record or a gap. */
function placeOf(line: string, format: string): string | undefined {
  if (format === 'csv') {
    const [chain, sequence] = line.split(',');
    return chain === 'chain' ? undefined : `${chain}:${sequence}`;
  }
  try {
    const { chain, sequence, until, unmapped } = JSON.parse(line.trim().replace(/,$/, ''));
    if (unmapped !== undefined) return `${unmapped.chain}:${unmapped.sequence}`;
    return chain === undefined ? undefined : `${chain}:${until ?? sequence}`;
  } catch {
    return undefined;
  }
}
