import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Connection, connect } from './connect.ts';
import { kitTables } from './kit-tables.ts';
import { migrateUp } from './migrate.ts';
import { type SchemaName, schemaNames } from './service-name.ts';
import type { KitDatabase } from './tables/kit.ts';
import type { TokenDatabase } from './tables/token.ts';
import { createTestDatabase, type TestDatabase } from './test-database.ts';

const REFUSED = '42501';

describe('a service', () => {
  let database: TestDatabase;
  let connections: Record<SchemaName, Connection<KitDatabase>>;
  beforeAll(async () => {
    database = await createTestDatabase();
    await migrateUp(database.url);
    const open = (service: SchemaName) => connect<KitDatabase>({ url: database.url, service, poolMax: 2 });
    connections = {
      auth: open('auth'),
      token: open('token'),
      audit: open('audit'),
      gateway: open('gateway'),
      natsid: open('natsid'),
    };
  });
  afterAll(async () => {
    await Promise.all(schemaNames.map((service) => connections[service].close()));
    await database.drop();
  });

  it('cannot touch any table of another service', async () => {
    const tables = await database.query(
      `select schemaname as owner, tablename as name from pg_tables where schemaname = any($1)`,
      [[...schemaNames]],
    );
    expect(tables.length).toBeGreaterThan(15);
    for (const service of schemaNames) {
      for (const { owner, name } of tables) {
        if (owner === service) continue;
        for (const statement of [`select from ${owner}.${name}`, `delete from ${owner}.${name}`]) {
          await expect(
            connections[service].pool.query(statement),
            `${service}: ${statement}`,
          ).rejects.toMatchObject({
            code: REFUSED,
          });
        }
      }
    }
  });

  it.each([
    'create table public.t (id int)',
    'create schema mine',
    'create table t (id int)',
    'update gatehouse.kysely_migration set name = name',
    'delete from gatehouse.kysely_migration',
    'alter table outbox disable trigger all',
    'truncate outbox',
    'drop table outbox',
  ])('may not: %s', async (statement) => {
    for (const service of schemaNames) {
      await expect(connections[service].pool.query(statement)).rejects.toMatchObject({ code: REFUSED });
    }
  });

  it('writes its outbox, inbox and dead letters by their bare names', async () => {
    for (const service of schemaNames) {
      const id = randomUUID();
      const db = kitTables(connections[service].db);
      const row = await db
        .insertInto('outbox')
        .values({
          id,
          type: 't',
          subject: 't',
          tenant_id: null,
          aggregate: 'a',
          data: { of: service },
          traceparent: null,
        })
        .returningAll()
        .executeTakeFirstOrThrow();
      expect(row).toMatchObject({
        lane: 1,
        attempts: 0,
        sequence: 1,
        published_at: null,
        data: { of: service },
      });
      expect(row.occurred_at).toBeInstanceOf(Date);
      expect(await database.query(`select id from ${service}.outbox`)).toEqual([{ id }]);
      await db.insertInto('inbox').values({ consumer: 'c', event_id: id }).execute();
      await db.updateTable('outbox').set({ published_at: new Date() }).where('id', '=', id).execute();
      await db.deleteFrom('outbox').where('id', '=', id).execute();
    }
  });

  it('knows only its own tables by type', () => {
    const { db } = connect<TokenDatabase>({ url: database.url, service: 'token' });
    db.selectFrom('session');
    // @ts-expect-error auth's table
    db.selectFrom('user_account');
    kitTables(db).selectFrom('outbox');
    // @ts-expect-error not one of the tables that every service has
    kitTables(db).selectFrom('session');
  });

  it('is covered by the same grants for tables that later migrations make', async () => {
    await database.query('create table token.later (id int)');
    await connections.token.pool.query('insert into later values (1)');
    await expect(connections.auth.pool.query('select from token.later')).rejects.toMatchObject({
      code: REFUSED,
    });
    await database.query('drop table token.later');
  });
});
