import { eventually } from '@gatehouse/kit/testing';
import { type AuditDatabase, type Connection, connect } from '@gatehouse/schema';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { chainFaults } from './chain-testing.ts';
import { dropOldMonths } from './retention.ts';
import { startAudit, type TestAudit } from './testing.ts';

describe('retention', () => {
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

  const tenant = crypto.randomUUID();
  /** Makes the months and moves the newest rows into one of them, as if they had been recorded then. */
  const aged = async (month: string, count: number): Promise<string[]> => {
    const { database } = audit.platform;
    await database.query(`select audit.ensure_partition($1::date)`, [`${month}-01`]);
    // The clock of the chains stands still there meanwhile: that is what the database would have said then.
    await database.query(`update audit.chain set recorded_at = '-infinity'`);
    const said = await database.query<{ body: string }>(
      `select pg_get_functiondef('audit.append'::regproc) as body`,
    );
    const then = (said[0]?.body ?? '').replaceAll('clock_timestamp()', `timestamptz '${month}-15T12:00:00Z'`);
    await database.query(then);
    const ids = await audit.tell(Array.from({ length: count }, () => ({ tenant })));
    await database.query(said[0]?.body ?? '');
    return ids;
  };
  const run = (months: number) =>
    dropOldMonths({
      db: own.db,
      config: { AUDIT_RETENTION_MONTHS: months } as never,
      relay: { poke: () => {} } as never,
      log: { info: () => {} } as never,
    });
  const monthAgo = (months: number) => {
    const now = new Date();
    return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - months, 1)).toISOString().slice(0, 7);
  };

  it('drops whole months that are old enough, tells which, and the chains verify from what it kept', async () => {
    const [oldest, old, young] = [monthAgo(20), monthAgo(14), monthAgo(12)];
    const gone = [...(await aged(oldest, 30)), ...(await aged(old, 7))];
    const kept = await aged(young, 5);
    const today = await audit.tell([{ tenant }, {}]);
    expect(await chainFaults(own.db)).toEqual([]);

    // Unset keeps everything.
    await run(0);
    expect(await audit.rows(gone)).toHaveLength(37);

    await run(12);
    expect(await audit.rows(gone)).toEqual([]);
    expect(await audit.rows([...kept, ...today])).toHaveLength(7);
    const chain = await own.db
      .selectFrom('chain')
      .selectAll()
      .where('chain', '=', tenant)
      .executeTakeFirstOrThrow();
    expect(chain).toMatchObject({ dropped_sequence: 37, sequence: 43 });
    expect(await chainFaults(own.db)).toEqual([]);
    await eventually(async () => {
      const told = await audit.platform.database.query(
        `select data->'months' as months from audit.event where type = 'audit.retention.dropped'`,
      );
      expect(told).toEqual([{ months: [oldest, old] }]);
    });

    // Again does nothing, and tells nothing.
    await run(12);
    const told = await audit.platform.database.query(
      `select from audit.outbox where type = 'audit.retention.dropped'
       union all select from audit.event where type = 'audit.retention.dropped'`,
    );
    expect(told.length).toBeLessThanOrEqual(2);
    await audit.tell([{ tenant }]);
    expect(await chainFaults(own.db)).toEqual([]);
  });

  it('waits for the next time while somebody reads the trail, and nothing is half dropped', async () => {
    const month = monthAgo(18);
    await audit.platform.database.query(`select audit.ensure_partition($1::date)`, [`${month}-01`]);
    await own.db.transaction().execute(async (reader) => {
      await reader.selectFrom('event').select('id').limit(1).execute();
      await expect(run(12)).rejects.toMatchObject({ code: '55P03' });
    });
    await run(12);
    const left = await audit.platform.database.query('select to_regclass($1) as name', [
      `audit.event_${month.replace('-', '')}`,
    ]);
    expect(left).toEqual([{ name: null }]);
  });
});
