import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Connection, connect } from './connect.ts';
import { migrateUp } from './migrate.ts';
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

  const record = async (occurredAt: Date | string): Promise<string> => {
    const id = randomUUID();
    const event = { id, occurred_at: occurredAt, type: 't', severity: 'info', source: 's', data: {} };
    await audit.db.insertInto('event').values(event).execute();
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
  const names = async (): Promise<unknown[]> => {
    const rows = await database.query(
      `select inhrelid::regclass::text as name from pg_inherits where inhparent = 'audit.event'::regclass order by 1`,
    );
    return rows.map((row) => row.name);
  };

  it('starts with last, this and next month, and a place for all others', async () => {
    const month = (offset: number): string => {
      const now = new Date();
      const date = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + offset, 1));
      return `audit.event_${date.toISOString().slice(0, 7).replace('-', '')}`;
    };
    expect(await names()).toEqual([month(-1), month(0), month(1), 'audit.event_default']);
    expect(await partitionOf(await record(new Date()))).toBe(month(0));
    expect(await partitionOf(await record('1999-01-01T00:00:00Z'))).toBe('audit.event_default');
  });

  it('makes a month once, however many ask at once', async () => {
    const said = await Promise.all(Array.from({ length: 8 }, () => ensure('2035-02-28')));
    expect(said.filter((answer) => answer === 'created')).toHaveLength(1);
    expect(said.filter((answer) => answer === 'exists')).toHaveLength(7);
    expect(await partitionOf(await record('2035-02-01T00:00:00.000Z'))).toBe('audit.event_203502');
    expect(await partitionOf(await record('2035-02-28T23:59:59.999Z'))).toBe('audit.event_203502');
    expect(await partitionOf(await record('2035-03-01T00:00:00.000Z'))).toBe('audit.event_default');
  });

  it('leaves rows where they are, and says so, when the month was already caught by the default', async () => {
    const id = await record('2036-07-04T12:00:00Z');
    expect(await ensure('2036-07-01')).toBe('blocked');
    expect(await partitionOf(id)).toBe('audit.event_default');
  });

  it('gives a new month the indexes and the primary key of the others', async () => {
    await ensure('2037-01-01');
    const rows = await database.query(
      `select indexdef from pg_indexes where schemaname = 'audit' and tablename = 'event_203701'`,
    );
    expect(rows).toHaveLength(5);
    const constraints = await database.query(
      `select contype from pg_constraint where conrelid = 'audit.event_203701'::regclass and contype <> 'n'`,
    );
    expect(constraints).toEqual([{ contype: 'p' }]);
  });

  it('refuses nonsense without making anything', async () => {
    const before = await names();
    await expect(ensure('1492-10-12')).rejects.toThrow('outside 2000 to 2199');
    await expect(sql`select audit.ensure_partition(null)`.execute(audit.db)).rejects.toThrow('outside');
    expect(await names()).toEqual(before);
  });

  it('is append-only for its own service, through every partition', async () => {
    await record(new Date());
    for (const table of ['event', ...(await names())]) {
      for (const statement of [
        `update ${table} set type = 'x'`,
        `delete from ${table}`,
        `truncate ${table}`,
        `drop table ${table}`,
      ]) {
        await expect(audit.pool.query(statement), statement).rejects.toMatchObject({ code: '42501' });
      }
    }
    // Not even read or written by a side door: all goes through the parent.
    for (const partition of await names()) {
      for (const statement of [`select from ${partition}`, `insert into ${partition} select * from event`]) {
        await expect(audit.pool.query(statement), statement).rejects.toMatchObject({ code: '42501' });
      }
    }
  });

  it('lets no other service make partitions', async () => {
    const token = connect({ url: database.url, service: 'token' });
    await expect(token.pool.query(`select audit.ensure_partition('2040-01-01')`)).rejects.toMatchObject({
      code: '42501',
    });
    await token.close();
  });

  it('refuses the same event twice', async () => {
    const event = {
      id: randomUUID(),
      occurred_at: new Date(),
      type: 't',
      severity: 'info',
      source: 's',
      data: {},
    };
    await audit.db.insertInto('event').values(event).execute();
    await expect(audit.db.insertInto('event').values(event).execute()).rejects.toMatchObject({
      code: '23505',
    });
  });

  it('gives back the very moment that it was given, so that a cursor finds its row', async () => {
    const moment = new Date('2026-01-02T03:04:05.678Z');
    const id = await record(moment);
    const row = await audit.db
      .selectFrom('event')
      .select('id')
      .where('occurred_at', '=', moment)
      .executeTakeFirst();
    expect(row?.id).toBe(id);
  });
});
