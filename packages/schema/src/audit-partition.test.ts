import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Connection, connect } from './connect.ts';
import { migrateDown, migrateUp } from './migrate.ts';
import type { AuditDatabase } from './tables/audit.ts';
import { createTestDatabase, type TestDatabase } from './test-database.ts';

describe('the audit trail', () => {
  let database: TestDatabase;
  let audit: Connection<AuditDatabase>;
  beforeAll(async () => {
    database = await createTestDatabase();
    await migrateUp(database.url);
    audit = connect<AuditDatabase>({ url: database.url, service: 'audit' });
  });
  afterAll(async () => {
    await audit.close();
    await database.drop();
  });

  const record = async (chain = 'platform'): Promise<string> => {
    const id = randomUUID();
    await appendOne(audit, chain, id);
    return id;
  };
  // As only the owner can: another moment of recording than now.
  const recordAt = async (at: string): Promise<string> => {
    const id = randomUUID();
    await database.query(
      `insert into audit.event (chain, sequence, id, recorded_at, occurred_at, type, severity, source, data, content_hash, hash)
       values ('aged', (select count(*) + 1 from audit.event where chain = 'aged'), $1, $2, $2, 't', 'info', 's', '{}', '', '')`,
      [id, at],
    );
    return id;
  };
  const partitionOf = async (id: string): Promise<unknown> => {
    const rows = await database.query(
      'select tableoid::regclass::text as name from audit.event where id = $1',
      [id],
    );
    return rows[0]?.name;
  };
  const ensure = async (month: string): Promise<string | undefined> => {
    const { rows } = await sql<{
      said: string;
    }>`select audit.ensure_partition(${month}::date) as said`.execute(audit.db);
    return rows[0]?.said;
  };
  const names = async (): Promise<string[]> => {
    const rows = await database.query(
      `select inhrelid::regclass::text as name from pg_inherits where inhparent = 'audit.event'::regclass order by 1`,
    );
    return rows.map((row) => String(row.name));
  };
  const month = (offset: number): string => {
    const now = new Date();
    const date = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + offset, 1));
    return `audit.event_${date.toISOString().slice(0, 7).replace('-', '')}`;
  };

  it('starts with this and next month, and a place for all others', async () => {
    expect(await names()).toEqual([month(0), month(1), 'audit.event_default']);
    expect(await partitionOf(await record())).toBe(month(0));
    expect(await partitionOf(await recordAt('1999-01-01T00:00:00Z'))).toBe('audit.event_default');
  });

  it('makes a month once, however many ask at once', async () => {
    const said = await Promise.all(Array.from({ length: 8 }, () => ensure('2035-02-28')));
    expect(said.filter((answer) => answer === 'created')).toHaveLength(1);
    expect(said.filter((answer) => answer === 'exists')).toHaveLength(7);
    expect(await partitionOf(await recordAt('2035-02-01T00:00:00.000Z'))).toBe('audit.event_203502');
    expect(await partitionOf(await recordAt('2035-02-28T23:59:59.999Z'))).toBe('audit.event_203502');
    expect(await partitionOf(await recordAt('2035-03-01T00:00:00.000Z'))).toBe('audit.event_default');
  });

  it('leaves rows where they are, and says so, when the month was already caught by the default', async () => {
    const id = await recordAt('2036-07-04T12:00:00Z');
    expect(await ensure('2036-07-01')).toBe('blocked');
    expect(await partitionOf(id)).toBe('audit.event_default');
  });

  it('gives a new month the indexes of the others', async () => {
    await ensure('2037-01-01');
    const indexes = (table: string) =>
      database.query(
        `select regexp_replace(indexdef, '^.* USING', '') as made from pg_indexes
         where schemaname = 'audit' and tablename = $1 order by 1`,
        [table],
      );
    const made = await indexes('event_203701');
    expect(made).toEqual(await indexes('event'));
    expect(made.length).toBeGreaterThan(5);
  });

  it('refuses nonsense without making anything', async () => {
    const before = await names();
    await expect(ensure('1492-10-12')).rejects.toThrow('outside 2000 to 2199');
    await expect(sql`select audit.ensure_partition(null)`.execute(audit.db)).rejects.toThrow('outside');
    expect(await names()).toEqual(before);
  });

  it('is written by its service through audit.append() alone, whatever the partition', async () => {
    await record();
    for (const table of ['audit.event', 'audit.chain', ...(await names())]) {
      for (const statement of [
        `insert into ${table} select * from ${table}`,
        `update ${table} set chain = 'x'`,
        `delete from ${table}`,
        `truncate ${table}`,
        `drop table ${table}`,
        `alter table ${table} disable trigger all`,
      ]) {
        await expect(audit.pool.query(statement), statement).rejects.toMatchObject({ code: '42501' });
      }
    }
    for (const partition of await names())
      await expect(audit.pool.query(`select from ${partition}`)).rejects.toMatchObject({ code: '42501' });
    expect((await audit.pool.query('select from audit.event')).rowCount).toBeGreaterThan(0);
  });

  it('has a log of heads and checkpoints to which its service adds, and from which it takes nothing', async () => {
    for (const table of ['audit.head', 'audit.checkpoint', 'audit.fault']) {
      for (const statement of [`delete from ${table}`, `truncate ${table}`])
        await expect(audit.pool.query(statement), statement).rejects.toMatchObject({ code: '42501' });
    }
    for (const statement of [
      'update audit.head set sequence = 1',
      `update audit.checkpoint set note = ''`,
      `update audit.fault set note = ''`,
    ])
      await expect(audit.pool.query(statement), statement).rejects.toMatchObject({ code: '42501' });
  });

  it('gives no other service any of its functions', async () => {
    const token = connect({ url: database.url, service: 'token' });
    for (const call of [
      `audit.ensure_partition('2040-01-01')`,
      `audit.drop_before('2001-01-01')`,
      `audit.erase(gen_random_uuid(), null, null, null, 1)`,
      'audit.drop_unchained()',
      'audit.adopted(array[]::uuid[])',
    ])
      await expect(token.pool.query(`select ${call}`), call).rejects.toMatchObject({ code: '42501' });
    await expect(appendOne(token, 'platform', randomUUID())).rejects.toMatchObject({ code: '42501' });
    await token.close();
  });

  it('drops nothing of the last 31 days, whatever the service asks', async () => {
    for (const day of ['now()::date', `'infinity'::date`, 'null', `(now() - interval '30 days')::date`])
      await expect(audit.pool.query(`select audit.drop_before(${day})`), day).rejects.toThrow('31 days');
  });

  it('tells times of recording that never fall within a chain, even when the clock was set back', async () => {
    const chain = randomUUID();
    await record(chain);
    // What is left behind by a clock that ran ahead.
    await database.query(`update audit.chain set recorded_at = '2039-01-01' where chain = $1`, [chain]);
    const id = await record(chain);
    const [row] = await database.query('select recorded_at from audit.event where id = $1', [id]);
    expect(row?.recorded_at).toEqual(new Date('2039-01-01T00:00:00Z'));
  });

  it('gives back the very moment that it was given, so that a cursor finds its row', async () => {
    const id = randomUUID();
    await appendOne(audit, 'platform', id, '2026-01-02T03:04:05.678Z');
    const row = await audit.db
      .selectFrom('event')
      .select('id')
      .where('occurred_at', '=', new Date('2026-01-02T03:04:05.678Z'))
      .executeTakeFirst();
    expect(row?.id).toBe(id);
  });
});

describe('the trail of an installation from before the chains', () => {
  const inDatabase = async (work: (database: TestDatabase) => Promise<void>): Promise<void> => {
    const database = await createTestDatabase();
    try {
      await work(database);
    } finally {
      await database.drop();
    }
  };
  const old = [
    { id: randomUUID(), occurred_at: '2020-01-02T03:04:05.678Z' },
    { id: randomUUID(), occurred_at: new Date().toISOString() },
  ];
  const tellOld = ({ query }: TestDatabase) =>
    query(
      `insert into audit.event (id, occurred_at, type, severity, source, client_ip, user_agent, data)
       select id, occurred_at, 't', 'info', 's', '192.0.2.1', 'x', '{"client_ip": "192.0.2.1", "user_agent": "x"}'
       from jsonb_to_recordset($1::jsonb) as e(id uuid, occurred_at timestamptz)`,
      [JSON.stringify(old)],
    );
  const ids = (rows: readonly Record<string, unknown>[]) => rows.map(({ id }) => id).sort();
  const wanted = old.map(({ id }) => id).sort();

  it('is set aside unchanged, can be read and not be changed, and comes back by migrating down', () =>
    inDatabase(async (database) => {
      await migrateUp(database.url, { to: '0007-nats-identity' });
      await tellOld(database);
      await migrateUp(database.url);
      expect(ids(await database.query('select id from audit.event_unchained'))).toEqual(wanted);
      const audit = connect<AuditDatabase>({ url: database.url, service: 'audit' });
      expect((await audit.pool.query('select id from audit.event_unchained')).rowCount).toBe(2);
      for (const statement of [
        'delete from audit.event_unchained',
        `update audit.event_unchained set type = 'x'`,
        'delete from audit.event_unchained_default',
      ])
        await expect(audit.pool.query(statement)).rejects.toMatchObject({ code: '42501' });
      // Not taken away before it is in the chains.
      await audit.pool.query('select audit.adopted($1::uuid[])', [wanted]);
      expect((await audit.pool.query('select audit.drop_unchained() as gone')).rows).toEqual([
        { gone: false },
      ]);
      const [first = ''] = wanted;
      await appendOne(audit, 'platform', first);
      await audit.pool.query('select audit.adopted($1::uuid[])', [wanted]);
      expect(ids(await database.query('select id from audit.event_unchained'))).toEqual(wanted.slice(1));
      await audit.close();
      await migrateDown(database.url, { to: '0007-nats-identity' });
      expect(ids(await database.query('select id from audit.event'))).toEqual(wanted);
    }));

  it('without a single event leaves nothing to set aside', () =>
    inDatabase(async (database) => {
      await migrateUp(database.url);
      expect(await database.query(`select to_regclass('audit.event_unchained') as name`)).toEqual([
        { name: null },
      ]);
    }));
});

/** One record without anything personal, as the service appends it. */
async function appendOne<DB>(
  { pool }: Connection<DB>,
  chain: string,
  id: string,
  occurredAt = new Date().toISOString(),
): Promise<void> {
  await pool.query(
    `select audit.append(array[$1], array[$2::uuid], array[$3::timestamptz], array['t'], array['info'],
       array[null::text], array['s'], array[null::uuid], array[null::uuid], array[null::text], array[null::text],
       array[null::text], array['{}'::jsonb], array[null::inet], array[null::jsonb], array[null::bytea],
       array[null::bytea], array[sha256('')])`,
    [chain, id, occurredAt],
  );
}
