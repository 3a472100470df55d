import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isStronger } from './lock-mode.ts';
import { migrateUp, migrationStatus } from './migrate.ts';
import { planMigrations } from './plan-migrations.ts';
import { createTestDatabase, type TestDatabase } from './test-database.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
  await migrateUp(database.url, { to: '0007-nats-identity' });
  await database.query(
    `insert into audit.event (id, occurred_at, type, severity, source, data)
     values (gen_random_uuid(), now(), 't', 'info', 's', '{}')`,
  );
});
afterAll(() => database.drop());

const up = { direction: 'up', to: '0009-administration' } as const;

describe('a plan upwards', () => {
  it('names every statement in order, its locks, what is read and what the release before would miss', async () => {
    const { migrations, databaseVersion } = await planMigrations(database.url, { ...up, basis: 'scratch' });
    expect(databaseVersion).toBe('0007-nats-identity');
    expect(migrations.map(({ name }) => name)).toEqual(['0008-audit-chain', '0009-administration']);
    const [chain, administration] = migrations;
    // The branch for a trail that is not empty: the copy has a row where the real table has some.
    expect(chain?.statements[1]).toMatchObject({
      basis: 'observed',
      locks: [{ table: 'audit.event', mode: 'ACCESS EXCLUSIVE' }],
    });
    expect(chain?.findings).toContainEqual(
      expect.objectContaining({ rule: 'right-gone', on: 'gatehouse_audit: insert on audit.event' }),
    );
    expect(administration?.statements[0]).toMatchObject({
      sql: 'alter table auth.user_account drop constraint user_account_role_check',
      locks: [{ table: 'auth.user_account', mode: 'ACCESS EXCLUSIVE' }],
      scans: [],
    });
    const index = administration?.statements.find(({ sql }) => sql.includes('session_newest on'));
    expect(index).toMatchObject({
      locks: [{ table: 'token.session', mode: 'SHARE' }],
      scans: ['token.session'],
      rewrites: [],
    });
    expect(index?.findings.map(({ rule, on }) => `${rule} ${on}`)).toEqual(
      expect.arrayContaining(['scans-under-lock token.session', 'held-meanwhile auth.user_account']),
    );
  });

  it('is the same rehearsed in the real database, and nothing of either stays', async () => {
    const [scratch, rehearsal] = await Promise.all([
      planMigrations(database.url, { ...up, basis: 'scratch' }),
      planMigrations(database.url, { ...up, basis: 'rehearsal' }),
    ]);
    expect(rehearsal.migrations).toEqual(scratch.migrations);
    expect((await migrationStatus(database.url)).databaseVersion).toBe('0007-nats-identity');
    expect(
      await database.query(`select datname from pg_database where datname like 'gatehouse_plan_%'`),
    ).toEqual([]);
    expect(await database.query(`select to_regclass('audit.chain') as made`)).toEqual([{ made: null }]);
  });

  it('read off the text names no weaker lock than the one that Postgres takes', async () => {
    const [text, seen] = await Promise.all([
      planMigrations(database.url, { ...up, basis: 'text' }),
      planMigrations(database.url, { ...up, basis: 'scratch' }),
    ]);
    let compared = 0;
    for (const [at, migration] of seen.migrations.entries())
      for (const [place, statement] of migration.statements.entries())
        for (const lock of statement.locks) {
          const assumed = text.migrations[at]?.statements[place]?.locks.find(
            ({ table }) => table === lock.table,
          );
          if (assumed === undefined) continue;
          compared += 1;
          expect(isStronger(lock.mode, assumed.mode), statement.sql).toBe(false);
        }
    expect(compared).toBeGreaterThan(3);
  });

  it('has the sizes of the real tables', async () => {
    await database.query('analyze audit.event');
    const { sizes } = await planMigrations(database.url, { ...up, basis: 'text' });
    expect(sizes.get('audit.event')).toEqual({ rows: 1, bytes: expect.any(Number) });
    expect(sizes.get('audit.event')?.bytes).toBeGreaterThan(8192);
    expect(sizes.get('auth.tenant')?.bytes).toBeGreaterThan(8192);
  });

  it('is made for an empty database too, and is empty when nothing is pending', async () => {
    const empty = await createTestDatabase();
    try {
      const all = await planMigrations(empty.url, { direction: 'up', basis: 'scratch' });
      expect(all.migrations[0]?.name).toBe('0001-foundation');
      expect(
        all.migrations.flatMap(({ statements }) => statements.flatMap(({ findings }) => findings)),
      ).toEqual([]);
      await migrateUp(empty.url);
      expect((await planMigrations(empty.url, { direction: 'up', basis: 'scratch' })).migrations).toEqual([]);
    } finally {
      await empty.drop();
    }
  });
});

it('a plan downwards names what is lost', async () => {
  const { migrations } = await planMigrations(database.url, {
    direction: 'down',
    steps: 1,
    basis: 'scratch',
  });
  expect(migrations.map(({ name }) => name)).toEqual(['0007-nats-identity']);
  expect(migrations[0]?.findings).toContainEqual({
    rule: 'table-gone',
    on: 'natsid.account',
    sentence: 'what is in natsid.account is lost',
    remedy: 'make a backup first: gatehouse backup create',
  });
});

it('a rehearsal does not queue behind a lock for long, and says which migration waited', async () => {
  const other = new pg.Client({ connectionString: database.url });
  await other.connect();
  try {
    await other.query('begin; lock table auth.user_account in access share mode');
    await expect(
      planMigrations(database.url, { ...up, basis: 'rehearsal', lockTimeoutMs: 50 }),
    ).rejects.toThrow(
      'migration 0009-administration (up) failed and nothing was changed: canceling statement due to lock timeout',
    );
  } finally {
    await other.end();
  }
});

it('a login that may not make databases is told the ways out', async () => {
  const name = `planner_${process.pid}`;
  await database.query(`create role ${name} login password 'p' in role gatehouse_auth`);
  await database.query(
    `grant usage on schema gatehouse to ${name}; grant select on gatehouse.kysely_migration to ${name}`,
  );
  await database.query(`grant select on all tables in schema auth, token, audit, gateway, natsid to ${name}`);
  await database.query(`grant usage on schema auth, token, audit, gateway, natsid to ${name}`);
  try {
    const url = new URL(database.url);
    url.username = name;
    url.password = 'p';
    await expect(planMigrations(url.href, { ...up, basis: 'scratch' })).rejects.toThrow(
      /may not make a database.*CREATEDB.*SCRATCH_DATABASE_URL.*--rehearse or --static/,
    );
    const elsewhere = await planMigrations(url.href, { ...up, basis: 'scratch', scratchUrl: database.url });
    expect(elsewhere.migrations).toHaveLength(2);
  } finally {
    await database.query(`grant ${name} to current_user; drop owned by ${name}; drop role ${name}`);
  }
});
