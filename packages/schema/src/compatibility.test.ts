import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { migrations } from '../migrations/index.ts';
import { neededBy } from './compatibility.ts';
import { connect } from './connect.ts';
import { migrateDown, migrateUp } from './migrate.ts';
import { assertCompatible, knownMigrations, newestMigration } from './migration-status.ts';
import { createTestDatabase, type TestDatabase } from './test-database.ts';

let database: TestDatabase;
beforeEach(async () => {
  database = await createTestDatabase();
  await migrateUp(database.url);
});
afterEach(() => database.drop());

const open = async () => {
  const { db, close } = connect({ url: database.url, service: 'gateway' });
  try {
    await assertCompatible(db);
  } finally {
    await close();
  }
};

const migratedByNewerRelease = (needs: string) =>
  database.query(
    `with one as (insert into gatehouse.kysely_migration values ('9999-future', '2099-01-01T00:00:00Z'))
     insert into gatehouse.compatibility values ('9999-future', $1)`,
    [needs],
  );

describe('a database that a newer release has migrated', () => {
  it('opens for this release when nothing that it uses has gone, and is left as it is', async () => {
    await migratedByNewerRelease(newestMigration);
    await expect(open()).resolves.toBeUndefined();
    expect(await migrateUp(database.url)).toEqual([]);
  });

  it('is refused when it needs a newer one, by whoever opens or migrates it', async () => {
    await migratedByNewerRelease('9998-without-a-column');
    const line = `the database is at version 9999-future, this release knows up to ${newestMigration}: start the newer release, or restore a backup made before the upgrade`;
    await expect(open()).rejects.toThrow(line);
    await expect(migrateUp(database.url)).rejects.toThrow(line);
  });

  it('goes down by the newer release alone', async () => {
    await migratedByNewerRelease(newestMigration);
    await expect(migrateDown(database.url)).rejects.toThrow('start the newer release');
  });
});

it('every migration since there is a table for it is noted there, and forgotten on the way down', async () => {
  const noted = async () =>
    (await database.query('select migration, needs from gatehouse.compatibility order by 1')).map(
      Object.values,
    );
  const since = knownMigrations.filter((name) => name >= '0011');
  expect(await noted()).toEqual(
    since.map((name) => [name, neededBy(migrations[name] ?? { up: '', down: '' })]),
  );
  await migrateDown(database.url, { to: '0010-audit-search' });
  expect(await database.query(`select to_regclass('gatehouse.compatibility') as left`)).toEqual([
    { left: null },
  ]);
  await migrateUp(database.url);
  expect(await noted()).toHaveLength(since.length);
});

it('a migration needs the newest release of what it takes away, and none for what it adds', () => {
  const text = { up: '', down: '' };
  const why = 'a test';
  expect(neededBy(text)).toBe('0001-foundation');
  expect(neededBy({ ...text, allows: [{ rule: 'constraint-new', on: 'a.b', why }] })).toBe('0001-foundation');
  const gone = (unusedSince: string) => ({ rule: 'column-gone', on: 'a.b.c', why, unusedSince }) as const;
  expect(neededBy({ ...text, allows: [gone('0013-a'), gone('0012-b')] })).toBe('0013-a');
});
