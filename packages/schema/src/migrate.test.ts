import { randomUUID } from 'node:crypto';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect } from './connect.ts';
import { dumpSchema } from './dump.ts';
import { migrateDown, migrateUp, migrationStatus } from './migrate.ts';
import { NewerDatabase, PendingMigrations } from './migration-error.ts';
import { assertCompatible, knownMigrations, newestMigration } from './migration-status.ts';
import { DEFAULT_TENANT_ID } from './tables/auth.ts';
import { createTestDatabase, type TestDatabase } from './test-database.ts';

const dumpOf = async (url: string): Promise<string> => {
  const pool = new pg.Pool({ connectionString: url });
  // Its last connection may still be on its way out when the database goes.
  pool.on('error', () => {});
  const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) });
  try {
    return await dumpSchema(db);
  } finally {
    await db.destroy();
  }
};

const inDatabase = async (work: (database: TestDatabase) => Promise<void>): Promise<void> => {
  const database = await createTestDatabase();
  try {
    await work(database);
  } finally {
    await database.drop();
  }
};

describe('migrations', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
    await migrateUp(database.url);
  });
  afterAll(() => database.drop());

  it('make the schema that is committed in schema.sql', async () => {
    await expect(await dumpOf(database.url)).toMatchFileSnapshot('../schema.sql');
  });

  it('leave a default tenant that is open for registration', async () => {
    const rows = await database.query('select id, status, registration from auth.tenant');
    expect(rows).toEqual([{ id: DEFAULT_TENANT_ID, status: 'active', registration: 'open' }]);
  });

  it('have nothing to do the second time', async () => {
    expect(await migrateUp(database.url)).toEqual([]);
    expect(await migrateUp(database.url, { to: '0001-foundation' })).toEqual([]);
  });
});

describe('migrating down and up again', () => {
  it('gives the same schema, from every version', () =>
    inDatabase(async ({ url }) => {
      const dumps: string[] = [];
      for (const name of knownMigrations) {
        await migrateUp(url, { to: name });
        dumps.push(await dumpOf(url));
      }
      for (let at = knownMigrations.length - 2; at >= 0; at -= 1) {
        expect(await migrateDown(url)).toEqual([{ name: knownMigrations[at + 1], direction: 'down' }]);
        expect(await dumpOf(url)).toBe(dumps[at]);
      }
      await migrateUp(url);
      expect(await dumpOf(url)).toBe(dumps.at(-1));
    }));

  it('leaves a database as it was before the first migration', () =>
    inDatabase(async ({ url, query }) => {
      await migrateUp(url);
      await migrateDown(url, { to: 'none' });
      expect((await migrationStatus(url)).databaseVersion).toBeNull();
      expect(
        await query(`select nspname from pg_namespace where nspname in ('auth','token','audit','gateway')`),
      ).toEqual([]);
      expect(await query('select from pg_default_acl')).toEqual([]);
      expect(await migrateDown(url)).toEqual([]);
    }));

  it('refuses a target that is not applied, and a count that is not one', () =>
    inDatabase(async ({ url }) => {
      await migrateUp(url, { to: '0002-auth' });
      await expect(migrateDown(url, { to: '0003-token' })).rejects.toThrow('it is not applied');
      await expect(migrateDown(url, { steps: 0 })).rejects.toThrow('whole number');
      await expect(migrateUp(url, { to: 'nonsense' })).rejects.toThrow('there is no migration nonsense');
      expect(await migrateDown(url, { steps: 99 })).toHaveLength(2);
    }));

  it('keeps the rows of tables that it does not touch', () =>
    inDatabase(async ({ url, query }) => {
      await migrateUp(url, { to: '0002-auth' });
      const id = randomUUID();
      await query(
        'insert into auth.user_account (id, tenant_id, email, password_hash) values ($1, $2, $3, $4)',
        [id, DEFAULT_TENANT_ID, 'old@example.org', 'x'],
      );
      await query(
        `insert into auth.outbox (id, type, subject, aggregate, data) values ($1, 't', 't', 'a', '{"n": 1}')`,
        [randomUUID()],
      );
      await migrateUp(url);
      await migrateDown(url, { to: '0002-auth' });
      await migrateUp(url);
      expect(await query('select id, email, role, status, version from auth.user_account')).toEqual([
        { id, email: 'old@example.org', role: 'USER', status: 'active', version: '1' },
      ]);
      expect(await query('select data from auth.outbox')).toEqual([{ data: { n: 1 } }]);
    }));
});

describe('migrating at the same time', () => {
  it('applies each migration once when several processes migrate one database', () =>
    inDatabase(async ({ url, query }) => {
      const ran = await Promise.all(Array.from({ length: 4 }, () => migrateUp(url)));
      expect(ran.flat().map((step) => step.name)).toEqual([...knownMigrations]);
      expect(await query('select name from gatehouse.kysely_migration order by name')).toHaveLength(
        knownMigrations.length,
      );
    }));

  it('works for several databases of one cluster, whose roles are one', async () => {
    const databases = await Promise.all(Array.from({ length: 4 }, createTestDatabase));
    try {
      const ran = await Promise.all(databases.map(({ url }) => migrateUp(url)));
      for (const steps of ran) expect(steps).toHaveLength(knownMigrations.length);
    } finally {
      await Promise.all(databases.map((database) => database.drop()));
    }
  });
});

describe('a database of another version', () => {
  it('that is newer is refused with one line by whoever opens it', () =>
    inDatabase(async ({ url, query }) => {
      await migrateUp(url);
      await query(`insert into gatehouse.kysely_migration values ('9999-future', '2099-01-01T00:00:00Z')`);
      const line = `the database is at version 9999-future, this release knows up to ${newestMigration}: start the newer release, or restore a backup made before the upgrade`;
      await expect(migrateUp(url)).rejects.toThrow(line);
      await expect(migrateDown(url)).rejects.toThrow(line);
      const { db, close } = connect({ url, service: 'token' });
      await expect(assertCompatible(db)).rejects.toBeInstanceOf(NewerDatabase);
      await close();
      expect((await migrationStatus(url)).migrations.at(-1)).toMatchObject({
        name: '9999-future',
        state: 'unknown',
      });
    }));

  it('that is older is refused until it is migrated', () =>
    inDatabase(async ({ url }) => {
      const [before, newest] = knownMigrations.slice(-2);
      await migrateUp(url, { to: before ?? '' });
      const { db, close } = connect({ url, service: 'audit' });
      await expect(assertCompatible(db)).rejects.toThrow(
        `the database is at version ${before} and lacks 1 migration up to ${newest}: run "gatehouse migrate up"`,
      );
      await migrateUp(url);
      await expect(assertCompatible(db)).resolves.toBeUndefined();
      await close();
    }));

  it('that was never migrated lacks everything', () =>
    inDatabase(async ({ url }) => {
      const { db, close } = connect({ url, service: 'auth' });
      await expect(assertCompatible(db)).rejects.toBeInstanceOf(PendingMigrations);
      await close();
      expect((await migrationStatus(url)).migrations.every(({ state }) => state === 'pending')).toBe(true);
    }));
});

describe('a migration that fails', () => {
  it('changes nothing, and says which one and why', () =>
    inDatabase(async ({ url, query }) => {
      await query('create schema auth; create table auth.in_the_way (id int)');
      await expect(migrateUp(url)).rejects.toThrow(
        'migration 0001-foundation (up) failed and nothing was changed: schema "auth" already exists',
      );
      expect((await migrationStatus(url)).databaseVersion).toBeNull();
    }));
});
