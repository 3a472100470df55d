import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect } from './connect.ts';
import { migrateUp } from './migrate.ts';
import { ensureRoles } from './roles.ts';
import { roleOf, type SchemaName, schemaNames } from './service-name.ts';
import { sessionSettings } from './session-settings.ts';
import { createTestDatabase, type TestDatabase, testServerUrl, withDatabaseName } from './test-database.ts';

const rolesSql = new URL('../../../infra/postgres/roles.sql', import.meta.url);
const uniqueName = (prefix: string): string => `${prefix}_${randomUUID().slice(0, 8)}`;

describe('the service roles', () => {
  let database: TestDatabase;
  const made: string[] = [];
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(async () => {
    await database.drop();
    const client = new pg.Client({ connectionString: testServerUrl() });
    await client.connect();
    for (const name of made) await client.query(`drop role if exists ${name}`);
    await client.end();
  });

  /** A login that owns the database, as in a hosted Postgres where nobody is superuser. */
  const ownerUrl = async (attributes: string): Promise<string> => {
    const name = uniqueName('owner');
    const password = randomUUID();
    made.push(name);
    const databaseName = new URL(database.url).pathname.slice(1);
    await database.query(`create role ${name} login ${attributes} password '${password}'`);
    // The tests' own user need not be a superuser; to give a database away one must be able to act as the new owner.
    await database.query(`grant ${name} to current_user`);
    await database.query(`alter database ${databaseName} owner to ${name}`);
    return withDatabaseName(database.url, databaseName, { name, password });
  };
  const withClients = async (
    url: string,
    count: number,
    work: (client: pg.Client) => Promise<void>,
  ): Promise<void> => {
    const clients = Array.from({ length: count }, () => new pg.Client({ connectionString: url }));
    await Promise.all(clients.map((client) => client.connect()));
    try {
      await Promise.all(clients.map(work));
    } finally {
      await Promise.all(clients.map((client) => client.end()));
    }
  };

  it('are made once when many ask at once, and can be taken on by a user that is no superuser', async () => {
    const roles = [uniqueName('role'), uniqueName('role')];
    const url = await ownerUrl('createrole');
    await withClients(url, 8, (client) => ensureRoles(client, roles));
    await withClients(url, 1, async (client) => {
      for (const role of roles) await client.query(`set role ${role}`);
      await client.query('reset role');
      // Only who made a role may drop it.
      for (const role of roles) await client.query(`drop role ${role}`);
    });
  });

  it('that are missing are one line naming roles.sql to a user who may not make them', async () => {
    const role = uniqueName('role');
    const url = await ownerUrl('nocreaterole');
    const user = new URL(url).username;
    await withClients(url, 1, async (client) => {
      await expect(ensureRoles(client, [role])).rejects.toThrow(
        `the database role ${role} does not exist and the user ${user} may not create it: run infra/postgres/roles.sql in this database as an administrator, or give ${user} CREATEROLE`,
      );
    });
  });

  it('that roles.sql made are enough for an owner without any attribute, and for its services', async () => {
    const url = await ownerUrl('nocreaterole');
    const text = await readFile(rolesSql, 'utf8');
    await database.query(text);
    await database.query(text);
    await migrateUp(url);
    for (const service of schemaNames) {
      const { pool, close } = connect({ url, service });
      const { rows } = await pool.query('select current_user as name, count(*) as rows from outbox');
      expect(rows).toEqual([{ name: roleOf(service), rows: 0 }]);
      await close();
    }
    const { pool, close } = connect({ url, service: 'audit' });
    const { rows } = await pool.query(`select audit.ensure_partition('2031-05-17') as said`);
    expect(rows).toEqual([{ said: 'created' }]);
    await close();
  });

  const loginSettings = async (service: SchemaName): Promise<Record<string, string>> => {
    const rows = await database.query(
      `select unnest(s.setconfig) as setting from pg_db_role_setting s
       where s.setrole = $1::regrole and s.setdatabase = (select oid from pg_database where datname = current_database())`,
      [roleOf(service)],
    );
    return Object.fromEntries(
      rows.map(({ setting }) => {
        const [name = '', value = ''] = String(setting).split('=');
        return [name.toLowerCase(), value];
      }),
    );
  };

  it('have the settings of their sessions for who logs in as them, from roles.sql as from a migration', async () => {
    await database.query(await readFile(rolesSql, 'utf8'));
    for (const service of schemaNames) {
      expect(await loginSettings(service)).toEqual(sessionSettings(service));
      const name = new URL(database.url).pathname.slice(1);
      await database.query(`alter role ${roleOf(service)} in database ${name} reset all`);
      await database.query(`alter role ${roleOf(service)} in database ${name} set jit = 'on'`);
    }
    await migrateUp(database.url);
    for (const service of schemaNames) expect(await loginSettings(service)).toEqual(sessionSettings(service));
  });

  it('in roles.sql are those of the services', async () => {
    const text = await readFile(rolesSql, 'utf8');
    for (const service of schemaNames) expect(text).toContain(`'${roleOf(service)}'`);
  });
});
