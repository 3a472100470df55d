import {
  checkSessions,
  connect,
  explainDatabaseError,
  migrateUp,
  migrationStatus,
  sessionSettings,
} from '@gatehouse/schema';
import { sql } from 'kysely';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { isConnectivityError } from './database-error.ts';
import { startJob } from './job.ts';
import { watchedJob } from './job-testing.ts';
import { createMetrics } from './metrics.ts';
import { PooledBench, pgBouncer } from './pooler-testing.ts';
import type { Context } from './service.ts';
import { eventually } from './testing.ts';

const announced = { pooled: true, namedStatements: true } as const;

describe.skipIf(pgBouncer === undefined)('behind PgBouncer in transaction mode', () => {
  let bench: PooledBench;
  beforeAll(async () => {
    bench = await PooledBench.open();
    await bench.owner.query('create table token.sample (id int primary key, value int not null)');
    await bench.owner.query('insert into token.sample select n, n from generate_series(1, 100) n');
    await bench.owner.query('grant select, update on token.sample to gatehouse_token');
  }, 60_000);
  afterEach(() => bench.reset());
  afterAll(() => bench?.close());

  test.each(['token', 'auth', 'audit'] as const)(
    'the sessions of %s are its own, with its limits',
    async (service) => {
      const { pool } = bench.connect(service);
      const { rows } = await pool.query('select current_user as login, current_schema as schema');
      expect(rows).toEqual([{ login: `gatehouse_${service}`, schema: service }]);
      expect(await checkSessions(pool, { service, ...announced })).toEqual([]);
      for (const [name, value] of Object.entries(sessionSettings(service)))
        expect((await pool.query('select current_setting($1) as value', [name])).rows).toEqual([{ value }]);
    },
  );

  test('many clients share few connections, and their transactions do not see each other', async () => {
    await bench.restartPooler({ default_pool_size: '2' });
    const clients = Array.from({ length: 6 }, () => bench.connect('token', { poolMax: 1 }));
    const backends = new Set<number>();
    await Promise.all(
      clients.map(({ db }, index) =>
        db.transaction().execute(async (tx) => {
          await sql`select set_config('gatehouse.sample', ${String(index)}, true)`.execute(tx);
          await sql`update sample set value = value + 1000 where id = ${index + 1}`.execute(tx);
          const { rows } = await sql<{ pid: number; mine: string; changed: number }>`
            select pg_backend_pid() as pid, current_setting('gatehouse.sample') as mine,
              (select count(*) from sample where value > 1000)::int as changed`.execute(tx);
          backends.add(rows[0]?.pid ?? 0);
          expect(rows[0]?.mine).toBe(String(index));
          expect(rows[0]?.changed).toBeGreaterThan(0);
        }),
      ),
    );
    expect(backends.size).toBeLessThanOrEqual(2);
    const left = await clients[0]?.pool.query(`select current_setting('gatehouse.sample', true) as left`);
    expect(left?.rows[0]?.left || null).toBeNull();
  });

  test('of two instances one runs a job at a time', async () => {
    const { job, runs, most } = watchedJob();
    const started = [bench.connect('token'), bench.connect('token')].map(({ db, pool }) =>
      startJob(job, {
        ...{ db, pool, metrics: createMetrics({ runtime: false }), log: pino({ level: 'silent' }) },
      } as unknown as Context),
    );
    await eventually(() => expect(runs()).toBeGreaterThan(5));
    await Promise.all(started.map((one) => one.stop()));
    expect(most()).toBe(1);
  });

  const read = { name: 'sample_read', text: 'select value from sample where id = $1', values: [50] };

  test('named statements outlive a migration that changes the type of what they return', async () => {
    // On one connection of Postgres, so that each statement meets what another client has prepared there.
    await bench.restartPooler({ default_pool_size: '1' });
    const [one, other] = [bench.connect('token'), bench.connect('token')];
    expect((await one.pool.query(read)).rows).toEqual([{ value: 50 }]);
    expect((await other.pool.query(read)).rows).toEqual([{ value: 50 }]);
    await bench.owner.query('alter table token.sample alter value type bigint');
    expect((await one.pool.query(read)).rows).toEqual([{ value: 50 }]);
    expect((await Promise.all([1, 2, 3].map(() => other.pool.query(read)))).map(({ rows }) => rows)).toEqual(
      Array(3).fill([{ value: 50 }]),
    );
    await bench.owner.query('alter table token.sample alter value type int');
    const client = await one.pool.connect();
    try {
      await client.query('begin');
      await expect(client.query(read)).rejects.toThrow('cached plan must not change result type');
      await client.query('rollback');
      // Who lost the transaction finds the statement renewed.
      await client.query('begin');
      expect((await client.query(read)).rows).toEqual([{ value: 50 }]);
      await client.query('commit');
    } finally {
      client.release(true);
    }
    await bench.restartPooler();
  });

  test('named statements outlive the death of the pooler, and that of Postgres', async () => {
    const { pool } = bench.connect('token');
    const answers = () =>
      eventually(async () => expect((await pool.query(read)).rows).toEqual([{ value: 50 }]), 20_000);
    await answers();
    await bench.killPooler();
    const refused: unknown = await pool.query(read).catch((error: unknown) => error);
    expect(isConnectivityError(refused)).toBe(true);
    await bench.startPooler();
    await answers();
    await bench.killPostgres();
    expect(isConnectivityError(await pool.query(read).catch((error: unknown) => error))).toBe(true);
    await bench.startPostgres();
    await answers();
  }, 60_000);

  test('a transaction whose pooler dies is undone, and nothing of it is left to lock others', async () => {
    const { db, pool } = bench.connect('token');
    const cut = db.transaction().execute(async (tx) => {
      await sql`update sample set value = -1 where id = 60`.execute(tx);
      await bench.killPooler();
      await sql`update sample set value = -1 where id = 61`.execute(tx);
    });
    await expect(cut).rejects.toThrow();
    await bench.startPooler();
    await eventually(async () => {
      await pool.query('update sample set value = value where id in (60, 61)');
    });
    const { rows } = await pool.query('select count(*)::int as lost from sample where value = -1');
    expect(rows).toEqual([{ lost: 0 }]);
  });

  test('who finds no connection free is refused in bounded time, as when the database is away', async () => {
    await bench.restartPooler({ default_pool_size: '1', query_wait_timeout: '1' });
    const [one, other] = [bench.connect('token'), bench.connect('token')];
    const holder = await one.pool.connect();
    await holder.query('begin');
    await holder.query('select 1');
    const refused: unknown = await other.pool.query('select 2').catch((error: unknown) => error);
    expect(isConnectivityError(refused)).toBe(true);
    await holder.query('commit');
    holder.release();
    expect((await other.pool.query('select 3 as three')).rows).toEqual([{ three: 3 }]);
    await bench.restartPooler();
  });

  describe('a mistake is told with its remedy', () => {
    test('a pooler that nobody announced refuses what sessions are begun with', async () => {
      const url = bench.settings.TOKEN_DATABASE_URL ?? '';
      const { pool, close } = connect({ url, service: 'token' });
      const error: unknown = await pool.query('select 1').catch((caught: unknown) => caught);
      await close();
      expect(explainDatabaseError(error)).toContain('DATABASE_POOLER=transaction');
      expect(isConnectivityError(error)).toBe(false);
      const migrating: unknown = await migrationStatus(bench.pooledOwnerUrl).catch(
        (caught: unknown) => caught,
      );
      expect(explainDatabaseError(migrating)).toContain('DATABASE_DIRECT_URL');
    });

    test('a pooler that nobody announced and that drops what sessions are begun with', async () => {
      await bench.restartPooler({ ignore_startup_parameters: 'options' });
      const { pool, close } = connect({ url: bench.pooledOwnerUrl, service: 'token' });
      const faults = await checkSessions(pool, { service: 'token', pooled: false, namedStatements: true });
      await close();
      expect(faults).toEqual([
        {
          fatal: true,
          text: expect.stringMatching(/drops the start-up options.*DATABASE_POOLER=transaction/),
        },
      ]);
      await bench.restartPooler();
    });

    test('a pooler that nobody announced, where the logins happen to have the settings', async () => {
      await bench.restartPooler({ ignore_startup_parameters: 'options' });
      const { pool, close } = connect({ url: bench.settings.TOKEN_DATABASE_URL ?? '', service: 'token' });
      const faults = await checkSessions(pool, { service: 'token', pooled: false, namedStatements: true });
      await close();
      expect(faults).toEqual([
        { fatal: true, text: expect.stringContaining('set DATABASE_POOLER=transaction') },
      ]);
      await bench.restartPooler();
    });

    test('a login that is not the service’s', async () => {
      const { pool } = bench.connect('token', { url: bench.pooledOwnerUrl });
      const faults = await checkSessions(pool, { service: 'token', ...announced });
      expect(faults).toEqual([
        {
          fatal: true,
          text: expect.stringContaining('the login must be gatehouse_token, see infra/postgres/roles.sql'),
        },
      ]);
    });

    test('a login whose sessions lack what the service needs, with the way to give it to them', async () => {
      await bench.owner.query('alter role gatehouse_audit in database gatehouse reset search_path');
      await bench.restartPooler();
      const faults = await checkSessions(bench.connect('audit').pool, { service: 'audit', ...announced });
      expect(faults).toEqual([
        {
          fatal: true,
          text: expect.stringMatching(/have another search_path .*: run "gatehouse migrate up".*RECONNECT/),
        },
      ]);
      await migrateUp(bench.databaseUrl);
      await bench.restartPooler();
      expect(await checkSessions(bench.connect('audit').pool, { service: 'audit', ...announced })).toEqual(
        [],
      );
    });

    test('a pooler that cannot keep named statements, with which the service works without them', async () => {
      await bench.restartPooler({ max_prepared_statements: '0' });
      const { pool } = bench.connect('token');
      expect(await checkSessions(pool, { service: 'token', ...announced })).toEqual([
        { fatal: true, text: expect.stringContaining('DATABASE_PREPARED_STATEMENTS=false') },
      ]);
      const [one, other] = ['one', 'other'].map(() => bench.connect('token', { namedStatements: false }));
      for (let round = 0; round < 10; round += 1)
        for (const unnamed of [one, other])
          expect((await unnamed?.pool.query(read))?.rows).toEqual([{ value: 50 }]);
      expect(
        await checkSessions(one?.pool as never, { service: 'token', pooled: true, namedStatements: false }),
      ).toEqual([]);
      await bench.restartPooler();
    });
  });
});
