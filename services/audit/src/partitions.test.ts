import { newId } from '@gatehouse/kit';
import { type TestDatabase, testDatabase } from '@gatehouse/kit/testing';
import { type AuditDatabase, type Connection, connect } from '@gatehouse/schema';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { appendRows } from './append-rows.ts';
import { ensureMonths } from './partitions.ts';
import { rowOf } from './trail-row.ts';

describe('the month of a row', () => {
  let database: TestDatabase;
  let audit: Connection<AuditDatabase>;
  beforeAll(async () => {
    database = await testDatabase();
    audit = connect<AuditDatabase>({ url: database.url, service: 'audit' });
  });
  afterAll(async () => {
    await audit.close();
    await database.drop();
  });

  /** As the recorder does it, in a process that knows of no month yet; answers with the row's partition. */
  async function recordOne(): Promise<unknown> {
    const now = new Date();
    const row = rowOf({
      ...{ id: newId(), type: 'auth.login.success', source: '/gatehouse/auth', subject: 'user:x' },
      ...{ tenantId: null, traceparent: null, time: now.toISOString(), sequence: 0, deliveries: 1 },
      ...{ data: {}, json: '{}' },
    });
    await audit.db.transaction().execute(async (tx) => {
      await ensureMonths(tx, [now], new Set());
      await appendRows(tx, [row]);
    });
    const [found] = await database.query<{ partition: string }>(
      'select tableoid::regclass::text as partition from audit.event where id = $1',
      [row.id],
    );
    return found?.partition;
  }

  it('has a partition before its first row, and what cannot have one goes to the default', async () => {
    const month = `audit.event_${new Date().toISOString().slice(0, 7).replace('-', '')}`;
    await database.query(`drop table ${month}`);
    expect(await recordOne()).toBe(month);
    await database.query(`drop table ${month}`);
    await database.query('alter function audit.ensure_partition(date) rename to out_of_order');
    expect(await recordOne()).toBe('audit.event_default');
    // Now the default holds a row of the month, and Postgres makes no partition of it any more.
    await database.query('alter function audit.out_of_order(date) rename to ensure_partition');
    expect(await recordOne()).toBe('audit.event_default');
  });
});
