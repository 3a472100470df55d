import { connect as connectTcp, createServer, type Server, type Socket } from 'node:net';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect } from './connect.ts';
import { InvalidDatabaseUrl, splitDatabaseUrl } from './database-url.ts';
import { explainDatabaseError } from './explain-database-error.ts';
import { migrateUp } from './migrate.ts';
import type { AuthDatabase } from './tables/auth.ts';
import type { TokenDatabase } from './tables/token.ts';
import { createTestDatabase, type TestDatabase } from './test-database.ts';

/** A line to Postgres that can be cut, or go silent. */
const openLine = async (target: URL) => {
  const sockets = new Set<Socket>();
  let silent = false;
  const server: Server = createServer((near) => {
    const far = connectTcp(Number(target.port), target.hostname);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on('data', (chunk) => silent || to.write(chunk));
      from.on('error', () => {});
      from.on('close', () => to.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const url = new URL(target.href);
  url.hostname = '127.0.0.1';
  url.port = String(address.port);
  return {
    url: url.href,
    cut: () => {
      for (const socket of sockets) socket.destroy();
    },
    silence: (on: boolean) => {
      silent = on;
    },
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
};

describe('a connection', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
    await migrateUp(database.url);
  });
  afterAll(() => database.drop());

  it('works under the role and on the schema of its service, with the limits given', async () => {
    const url = `${database.url}?options=-c%20work_mem%3D5MB%20-c%20role%3Dgatehouse_auth`;
    const { db, close } = connect<TokenDatabase>({ url, service: 'token', statementTimeoutMs: 1234 });
    const { rows } = await sql`
      select current_user, current_schema, current_setting('statement_timeout') as statement,
        current_setting('work_mem') as work_mem, current_setting('application_name') as application,
        current_setting('timezone') as zone`.execute(db);
    expect(rows).toEqual([
      {
        current_user: 'gatehouse_token',
        current_schema: 'token',
        statement: '1234ms',
        work_mem: '5MB',
        application: 'gatehouse-token',
        zone: 'UTC',
      },
    ]);
    await close();
    await close();
  });

  it('reads bigint as a number, never as a wrong one, and times as dates', async () => {
    const { db, close } = connect<AuthDatabase>({ url: database.url, service: 'auth' });
    const tenant = await db.selectFrom('tenant').select(['version', 'created_at']).executeTakeFirstOrThrow();
    expect(tenant.version).toBe(1);
    expect(tenant.created_at).toBeInstanceOf(Date);
    await expect(sql`select 9007199254740993::bigint`.execute(db)).rejects.toThrow('beyond 2^53');
    expect((await sql`select array[1::bigint] as list, 1.5::numeric as n`.execute(db)).rows).toEqual([
      { list: ['1'], n: '1.5' },
    ]);
    await close();
  });

  it('assumes no role for a login that is the role, or that is said to have the rights itself', async () => {
    const { pool, close } = connect({ url: database.url, service: 'auth', loginRoles: true });
    const { rows } = await pool.query('select current_user = session_user as own, current_schema as schema');
    expect(rows).toEqual([{ own: true, schema: 'auth' }]);
    await close();
  });

  it('that is cut, idle or in a transaction, ends nothing but itself and is replaced', async () => {
    const line = await openLine(new URL(database.url));
    const heard: Error[] = [];
    const { db, close } = connect<AuthDatabase>({
      url: line.url,
      service: 'auth',
      onPoolError: (error) => heard.push(error),
    });
    await sql`select 1`.execute(db);
    const failed = db.transaction().execute(async (tx) => {
      await sql`select 1`.execute(tx);
      line.cut();
      await new Promise((resolve) => setImmediate(resolve));
      await sql`select 2`.execute(tx);
    });
    await expect(failed).rejects.toThrow();
    expect((await sql`select 3 as three`.execute(db)).rows).toEqual([{ three: 3 }]);
    heard.length = 0;
    await database.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'gatehouse-auth'`,
    );
    await expect.poll(() => heard.length).toBeGreaterThan(0);
    expect((await sql`select 4 as four`.execute(db)).rows).toEqual([{ four: 4 }]);
    await close();
    line.close();
  });

  it('whose peer falls silent fails in bounded time, and the next query gets a new one', async () => {
    const line = await openLine(new URL(database.url));
    const { db, close } = connect<AuthDatabase>({
      url: line.url,
      service: 'auth',
      poolMax: 1,
      statementTimeoutMs: 100,
    });
    await sql`select 1`.execute(db);
    line.silence(true);
    await expect(sql`select 2`.execute(db)).rejects.toThrow('Query read timeout');
    line.silence(false);
    expect((await sql`select 3 as three`.execute(db)).rows).toEqual([{ three: 3 }]);
    await close();
    line.close();
  }, 15_000);

  it('to a host that never answers fails in five seconds', async () => {
    const line = await openLine(new URL(database.url));
    line.silence(true);
    const { pool, close } = connect({ url: line.url, service: 'auth' });
    const error: unknown = await pool.query('select 1').catch((caught: unknown) => caught);
    expect(explainDatabaseError(error)).toMatch(
      /^the database does not answer|^no database connection became free/,
    );
    line.close();
    await close();
  }, 8_000);

  it('that cannot be made says why in one line', async () => {
    const explained = async (url: string): Promise<string | undefined> => {
      const { pool, close } = connect({ url, service: 'auth' });
      const error: unknown = await pool.query('select 1').catch((caught: unknown) => caught);
      await close();
      return explainDatabaseError(error);
    };
    const changed = (change: (url: URL) => void): string => {
      const url = new URL(database.url);
      change(url);
      return url.href;
    };
    expect(await explained('postgres://u:hidden@127.0.0.1:1/x')).toMatch(
      /^nothing listens at the database address/,
    );
    expect(await explained('postgres://u:hidden@localhost:1/x')).toMatch(
      /^nothing listens at the database address/,
    );
    expect(
      await explained(
        changed((url) => {
          url.pathname = '/absent';
        }),
      ),
    ).toMatch(/does not exist: create it/);
    expect(
      await explained(
        changed((url) => {
          url.password = 'hidden';
        }),
      ),
    ).toMatch(/refused the password/);
    expect(explainDatabaseError(new Error('role "gatehouse_auth" does not exist'))).toMatch(/roles\.sql/);
    expect(explainDatabaseError(new Error('permission denied to set role "gatehouse_auth"'))).toMatch(
      /roles\.sql/,
    );
    expect(explainDatabaseError(new Error('something else'))).toBeUndefined();
  });
});

describe('a database URL', () => {
  it('is taken apart without losing anything but its options', () => {
    expect(splitDatabaseUrl('postgres://a%40b:p%2F@h:1/d?sslmode=disable&options=-c%20x%3D1')).toEqual({
      url: 'postgres://a%40b:p%2F@h:1/d?sslmode=disable',
      user: 'a@b',
      options: '-c x=1',
    });
    expect(splitDatabaseUrl('postgresql://me@/d?host=/run/pg')).toMatchObject({ user: 'me' });
    expect(splitDatabaseUrl('postgresql:///d')).toMatchObject({ user: '', options: '' });
  });

  it.each(['', 'mysql://u:secret@h/d', 'postgres//u:secret@h', 'u:secret@h/d', 'postgres://%zz:secret@h/d'])(
    'that is none is refused without being repeated: %s',
    (text) => {
      expect(() => splitDatabaseUrl(text)).toThrow(InvalidDatabaseUrl);
      expect(() => splitDatabaseUrl(text)).not.toThrow(/secret/);
    },
  );
});
