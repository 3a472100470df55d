import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { addToHistory } from './history-testing.ts';
import type { TestDatabase } from './test-database.ts';

addToHistory({
  '9000-table': { up: 'create table auth.sample (id int, name text)', down: 'drop table auth.sample' },
  '9001-index': {
    up: `
-- Unique, so that rows can stop it.
create unique index concurrently if not exists sample_id on auth.sample (id);
create index concurrently if not exists sample_name on auth.sample (name);
`,
    down: `
drop index concurrently if exists auth.sample_name;
drop index concurrently if exists auth.sample_id;
`,
    online: true,
  },
  '9002-after': { up: 'create table auth.after_it (id int)', down: 'drop table auth.after_it' },
});
const { migrateDown, migrateUp, migrationStatus } = await import('./migrate.ts');
const { createTestDatabase } = await import('./test-database.ts');

let database: TestDatabase;
beforeEach(async () => {
  database = await createTestDatabase();
});
afterEach(() => database.drop());

const indexes = () =>
  database.query(
    `select c.relname as name, indisvalid as valid from pg_index i join pg_class c on c.oid = i.indexrelid
     where i.indrelid = 'auth.sample'::regclass order by 1`,
  );
const bothValid = [
  { name: 'sample_id', valid: true },
  { name: 'sample_name', valid: true },
];
const namesOf = (steps: readonly { name: string }[]) => steps.map(({ name }) => name);

describe('an online migration', () => {
  it('runs while others read and write the table, once, whoever else migrates', async () => {
    await migrateUp(database.url, { to: '9000-table' });
    const other = new pg.Client({ connectionString: database.url });
    await other.connect();
    await other.query('begin; insert into auth.sample values (1)');
    const running = Promise.all([migrateUp(database.url), migrateUp(database.url)]);
    // Building it waits for the older transaction; another one goes on meanwhile.
    await database.query('insert into auth.sample values (2)');
    await other.query('commit');
    await other.end();
    expect((await running).map(namesOf).sort()).toEqual([[], ['9001-index', '9002-after']]);
    expect(await indexes()).toEqual(bothValid);
    expect(namesOf(await migrateDown(database.url, { to: '9000-table' }))).toEqual([
      '9002-after',
      '9001-index',
    ]);
    expect(await indexes()).toEqual([]);
  });

  it('that was broken off is begun again, and leaves no index that is not valid', async () => {
    await migrateUp(database.url, { to: '9000-table' });
    await database.query('insert into auth.sample values (1), (1)');
    await expect(migrateUp(database.url)).rejects.toThrow(
      'migration 9001-index (up) failed and nothing before it was changed, it begins again next time: could not create unique index',
    );
    expect(await indexes()).toEqual([{ name: 'sample_id', valid: false }]);
    expect((await migrationStatus(database.url)).databaseVersion).toBe('9000-table');
    await database.query('truncate auth.sample');
    expect(namesOf(await migrateUp(database.url))).toEqual(['9001-index', '9002-after']);
    expect(await indexes()).toEqual(bothValid);
  });

  it('is one transaction with the others in an empty database', async () => {
    await migrateUp(database.url);
    expect(await indexes()).toEqual(bothValid);
  });
});

it('the plan of an online migration has each statement by itself, and goes on after it', async () => {
  const { planMigrations } = await import('./plan-migrations.ts');
  await migrateUp(database.url, { to: '9000-table' });
  const { migrations } = await planMigrations(database.url, { direction: 'up', basis: 'scratch' });
  expect(
    migrations.map(({ statements }) => statements.map(({ transaction, locks }) => [transaction, ...locks])),
  ).toEqual([
    [
      ['none', { table: 'auth.sample', mode: 'SHARE UPDATE EXCLUSIVE' }],
      ['none', { table: 'auth.sample', mode: 'SHARE UPDATE EXCLUSIVE' }],
    ],
    [['shared']],
  ]);
});
