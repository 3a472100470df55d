import { randomUUID } from 'node:crypto';
import { eventually, type TestDatabase, testDatabase } from '@gatehouse/kit/testing';
import { type AuditDatabase, type Connection, connect, migrateDown, migrateUp } from '@gatehouse/schema';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { adoptUnchained } from './adopt.ts';
import { chainFaults } from './chain-testing.ts';

const log = { info: () => {} } as never;

describe('the trail of an installation from before the chains', () => {
  let database: TestDatabase;
  const open: Connection<AuditDatabase>[] = [];
  const connection = () => {
    const made = connect<AuditDatabase>({ url: database.url, service: 'audit', poolMax: 2 });
    open.push(made);
    return made;
  };
  beforeEach(async () => {
    database = await testDatabase();
  });
  afterEach(async () => {
    await Promise.all(open.splice(0).map((one) => one.close()));
    await database.drop();
  });

  const tenants = [randomUUID(), randomUUID()];
  /** Rows of two tenants and of none, in several months, as the release before wrote them. */
  const before = async (count: number): Promise<void> => {
    await migrateDown(database.url, { to: '0007-nats-identity' });
    await database.query(
      `insert into audit.event (id, occurred_at, type, severity, outcome, source, tenant_id, user_id, actor, subject,
         client_ip, user_agent, trace_id, data)
       select gen_random_uuid(), now() - make_interval(hours => n), 'auth.login.success', 'info', 'success',
         '/gatehouse/auth', ($2::uuid[])[n % 3], gen_random_uuid(), 'somebody',
         'user:x', '192.0.2.' || n % 250, 'Firefox', null,
         jsonb_build_object('n', n, 'client_ip', '192.0.2.' || n % 250, 'user_agent', 'Firefox')
       from generate_series(1, $1::int) as n`,
      [count, tenants],
    );
    await migrateUp(database.url);
  };
  const recorded = async () => {
    const rows = await database.query<{ count: string; ids: string; last: number }>(
      `select count(*), count(distinct id) as ids, max((data->>'n')::int) as last from audit.event`,
    );
    return { rows: Number(rows[0]?.count), ids: Number(rows[0]?.ids), last: rows[0]?.last };
  };
  const left = async () => {
    const [row] = await database.query<{ there: boolean }>(
      `select to_regclass('audit.event_unchained') is not null as there`,
    );
    return row?.there;
  };

  it('is put into the chains, oldest first, with what is personal apart, and the old table goes', async () => {
    await before(1_200);
    const { db } = connection();
    await adoptUnchained({ db, log });
    expect(await recorded()).toEqual({ rows: 1_200, ids: 1_200, last: 1_200 });
    expect(await left()).toBe(false);
    expect(await chainFaults(db)).toEqual([]);
    const chains = await db.selectFrom('chain').select(['chain', 'sequence']).orderBy('chain').execute();
    expect(chains).toEqual([...tenants, 'platform'].sort().map((chain) => ({ chain, sequence: 400 })));
    const [oldest] = await db
      .selectFrom('event')
      .selectAll()
      .where('chain', '=', tenants[0] ?? '')
      .orderBy('sequence')
      .limit(1)
      .execute();
    expect(oldest?.data).toEqual({ n: 1_198 });
    expect(oldest?.personal).toEqual({ client_ip: '192.0.2.198', user_agent: 'Firefox' });
    expect(oldest).toMatchObject({ client_ip: '192.0.2.198', actor: 'somebody', outcome: 'success' });
    // Nothing is left to do, however often it is asked for.
    await adoptUnchained({ db, log });
    expect((await recorded()).rows).toBe(1_200);
  });

  it('is in the chains once, whoever is killed in the middle and however many are at it', async () => {
    await before(4_000);
    let deaths = 0;
    await eventually(async () => {
      const two = [connection(), connection()];
      const running = Promise.allSettled(two.map(({ db }) => adoptUnchained({ db, log })));
      if (deaths < 5) {
        const already = (await recorded()).rows;
        await eventually(async () => (await recorded()).rows > already || !(await left()));
        deaths += 1;
        await database.query(
          `select pg_terminate_backend(pid) from pg_stat_activity
           where datname = current_database() and application_name = 'gatehouse-audit'`,
        );
      }
      await running;
      return !(await left());
    }, 30_000);
    expect(deaths).toBe(5);
    expect(await recorded()).toEqual({ rows: 4_000, ids: 4_000, last: 4_000 });
    expect(await chainFaults(connection().db)).toEqual([]);
  });
});
