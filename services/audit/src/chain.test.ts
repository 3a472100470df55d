import { randomBytes, randomUUID } from 'node:crypto';
import { contentHash, followChain, genesis, personalDigest } from '@gatehouse/audit-chain';
import { type IncomingEvent, newId } from '@gatehouse/kit';
import { type TestDatabase, testDatabase } from '@gatehouse/kit/testing';
import { type AuditDatabase, type Connection, connect } from '@gatehouse/schema';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { appendRows } from './append-rows.ts';
import { chainOf, contentOfRow } from './chain-testing.ts';
import { rowOf } from './trail-row.ts';

const whole = (below: number) => Math.floor(Math.random() * below);

describe('the chains', () => {
  let database: TestDatabase;
  let audit: Connection<AuditDatabase>;
  beforeAll(async () => {
    database = await testDatabase();
    audit = connect<AuditDatabase>({ url: database.url, service: 'audit', poolMax: 6 });
  });
  afterAll(async () => {
    await audit.close();
    await database.drop();
  });

  const eventOf = (tenantId: string | null, data: Record<string, unknown> = {}): IncomingEvent => ({
    ...{ id: newId(), type: 'auth.login.success', source: '/gatehouse/auth', tenantId, traceparent: null },
    ...{ time: new Date().toISOString(), subject: 'user:x', sequence: 0, deliveries: 1, data },
    json: JSON.stringify(data),
  });
  const append = (events: readonly IncomingEvent[]) =>
    audit.db.transaction().execute((tx) => appendRows(tx, events.map(rowOf)));
  const read = (chain: string) => chainOf(audit.db, chain);

  it('that the database links are those that the verifier follows, from the genesis to the head', async () => {
    const [one, other] = [randomUUID(), randomUUID()];
    for (const size of [1, 2, 7, 500, 40])
      await append(Array.from({ length: size }, (_, index) => eventOf(index % 3 === 0 ? other : one)));
    for (const chain of [one, other]) {
      const rows = await read(chain);
      const follower = followChain(chain);
      for (const row of rows) expect(follower.next(row)).toBe(true);
      expect(follower.end()).toBeUndefined();
      const head = await audit.db
        .selectFrom('chain')
        .selectAll()
        .where('chain', '=', chain)
        .executeTakeFirstOrThrow();
      expect(follower.head).toEqual({ chain, sequence: head.sequence, hash: head.hash });
      expect(rows).toHaveLength(head.sequence);
      expect(head.dropped_hash).toEqual(genesis(chain).hash);
    }
  });

  it('keep the order of a batch, and time never falls along them', async () => {
    const tenant = randomUUID();
    const events = Array.from({ length: 100 }, (_, n) => eventOf(tenant, { n }));
    await append(events.slice(0, 60));
    await append(events.slice(60));
    const rows = await read(tenant);
    expect(rows.map(({ content }) => content.id)).toEqual(events.map(({ id }) => id));
    const times = rows.map(({ recorded_at }) => recorded_at.getTime());
    expect(times).toEqual(times.toSorted((a, b) => a - b));
  });

  it('that batches race over in opposite order have no gap, no fork and no deadlock', async () => {
    const tenants = Array.from({ length: 6 }, () => randomUUID());
    const lane = async (order: readonly string[]) => {
      for (let round = 0; round < 25; round += 1)
        await append(order.flatMap((tenant) => [eventOf(tenant), eventOf(null), eventOf(tenant)]));
    };
    await Promise.all([
      lane(tenants),
      lane(tenants.toReversed()),
      lane(tenants.toSorted()),
      lane([...tenants.slice(3), ...tenants.slice(0, 3)]),
    ]);
    for (const tenant of tenants) {
      const rows = await read(tenant);
      expect(rows).toHaveLength(4 * 25 * 2);
      const follower = followChain(tenant);
      for (const row of rows) follower.next(row);
      expect(follower.end()).toBeUndefined();
      const times = rows.map(({ recorded_at }) => recorded_at.getTime());
      expect(times).toEqual(times.toSorted((a, b) => a - b));
    }
  });

  it('have in them whatever JSON came, hashed as it is read back', async () => {
    const tenant = randomUUID();
    const awkward = [
      ...[0, -0, 1.0, 1e21, 1e-7, 5e-324, 1.7976931348623157e308, 0.1 + 0.2, 2 ** 53 + 2, -1e-300],
      ...['', 'ü\u2028\u{1f600}', '\\u0000', '"\\', 'a\u007f\u0080', '\ufffd'],
      ...[null, true, [], {}, [[]], { '': {} }],
    ];
    const value = (depth: number): unknown => {
      const kind = whole(depth > 3 ? 4 : 7);
      if (kind < 2) return awkward[whole(awkward.length)];
      if (kind === 2) return new Float64Array(randomBytes(8).buffer.slice(0, 8))[0] || 0;
      if (kind === 3) return randomBytes(whole(9)).toString('latin1').replaceAll('\0', 'x');
      if (kind === 4) return Array.from({ length: whole(4) }, () => value(depth + 1));
      return JSON.parse(
        `{${Array.from({ length: whole(4) }, () => `${JSON.stringify(keys[whole(keys.length)])}:${JSON.stringify(value(depth + 1) ?? null)}`).join(',')}}`,
      );
    };
    const keys = [
      'a',
      'B',
      'ä',
      '\u{1f600}',
      '',
      '__proto__',
      'constructor',
      'toString',
      '1',
      '10',
      '2',
      'ﬀ',
    ];
    const payloads = Array.from({ length: 400 }, () => ({
      ...(JSON.parse(JSON.stringify({ value: value(0), other: value(1) })) as object),
      ...(whole(2) === 0 ? { client_ip: '192.0.2.1', email: `${randomUUID()}@example.com` } : {}),
      ...(whole(4) === 0 ? { toString: 1, user_id: randomUUID().toUpperCase() } : {}),
    }));
    for (let at = 0; at < payloads.length; at += 100)
      await append(payloads.slice(at, at + 100).map((data) => eventOf(tenant.toUpperCase(), data)));
    const rows = await audit.db.selectFrom('event').selectAll().where('chain', '=', tenant).execute();
    expect(rows).toHaveLength(payloads.length);
    for (const row of rows) {
      expect(contentHash(contentOfRow(row))).toEqual(row.content_hash);
      if (row.personal !== null)
        expect(personalDigest(row.personal_salt as Buffer, row.personal)).toEqual(row.personal_digest);
    }
    // Two rows with one salt and one address would show that they share it.
    const salts = rows.flatMap(({ personal_salt: salt }) => (salt === null ? [] : [salt.toString('hex')]));
    expect(salts.length).toBeGreaterThan(100);
    expect(new Set(salts).size).toBe(salts.length);
    const told = payloads.map((data) => JSON.stringify(sorted(data))).sort();
    expect(rows.map(({ data, personal }) => JSON.stringify(sorted({ ...data, ...personal }))).sort()).toEqual(
      told,
    );
  });

  it('take no NUL, no lone surrogate and no number that JSON cannot hold: such an event is a dead letter', async () => {
    const chain = randomUUID();
    for (const data of [{ a: '\0' }, { a: '\ud800' }, { '\0': 1 }, { a: JSON.parse('1e400') }])
      await expect((async () => append([eventOf(chain, data)]))()).rejects.toThrow();
    expect(await read(chain)).toEqual([]);
  });
});

/** The same value with the keys of every object in order, and -0 as 0: what JSON means. */
function sorted(value: unknown): unknown {
  if (value === 0) return 0;
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, one]) => [key, sorted(one)]);
}
