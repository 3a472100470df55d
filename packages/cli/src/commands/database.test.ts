import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { repositoryRoot } from '@gatehouse/embedded';
import { eventually, type TestDatabase, testDatabase } from '@gatehouse/kit/testing';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { withoutValues } from './database.ts';

let database: TestDatabase;
let holder: pg.Client;
let pid: number;
beforeEach(async () => {
  database = await testDatabase();
  holder = new pg.Client({ connectionString: database.url, application_name: 'monthly-report' });
  holder.on('error', () => {});
  await holder.connect();
  pid = (await holder.query('select pg_backend_pid() as pid')).rows[0].pid;
});
afterEach(async () => {
  await holder.end().catch(() => {});
  await database.drop();
});

const main = join(repositoryRoot, 'packages/cli/src/main.ts');
function gatehouse(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
    encoding: 'utf8',
    env: {
      PATH: process.env.PATH,
      NODE_COMPILE_CACHE: join(repositoryRoot, '.local/compile-cache'),
      DATABASE_URL: database.url,
    },
  });
  return { code: status, out: stdout, err: stderr };
}

describe('gatehouse database', () => {
  it('sessions names who holds others up, and end-session lets them go on', async () => {
    await holder.query("begin; lock table auth.tenant in access exclusive mode; select 'hunter2', 42");
    const waiting = database.query('select from auth.tenant');
    const [first] = await eventually(() => {
      const { out } = gatehouse('--json', 'database', 'sessions');
      const rows = JSON.parse(out);
      expect(rows[0]).toMatchObject({ holds_up: 1 });
      return rows;
    });
    expect(first).toMatchObject({ pid, application: 'monthly-report', state: 'idle in transaction' });
    expect(first.statement).not.toMatch(/hunter2|42/);
    const text = gatehouse('database', 'sessions').out;
    expect(text).toContain('monthly-report');
    expect(text).toMatch(new RegExp(`Lock relation +${pid}`));

    expect(gatehouse('database', 'end-session', String(pid)).code).toBe(2); // nobody to ask
    const ended = gatehouse('database', 'end-session', String(pid), '--yes');
    expect(ended).toMatchObject({ code: 0, out: `ended process ${pid} (monthly-report), 1 waited for it\n` });
    await waiting;
  });

  it('leaves out idle connections unless asked for all', () => {
    expect(gatehouse('database', 'sessions').out).not.toContain('monthly-report');
    expect(gatehouse('database', 'sessions', '--all').out).toContain('monthly-report');
  });

  it('refuses what is no process, or none of this database, and says when Postgres is away', () => {
    expect(gatehouse('database', 'end-session', 'all', '--yes').code).toBe(2);
    const gone = gatehouse('database', 'end-session', '2147483647', '--yes');
    expect(gone).toMatchObject({ code: 1, err: expect.stringContaining('no session of this database') });
    const url = 'postgres://nobody@127.0.0.1:1/none';
    const away = spawnSync(process.execPath, [main, 'database', 'sessions'], {
      encoding: 'utf8',
      env: { PATH: process.env.PATH, DATABASE_URL: url },
    });
    expect(away).toMatchObject({ status: 1, stderr: expect.stringContaining('nothing listens') });
  });
});

it.each([
  ["alter role a password 'hunter2'", 'alter role a password ?'],
  [
    "select * from x where a = 'it''s' and b = 42 and c = e'\\'x'",
    'select * from x where a = ? and b = ? and c = ?',
  ],
  ["select 'cut off in the mid", 'select ?'],
  ['do $body$ begin perform 1; end $body$', 'do ?'],
  ['select $1 from t1', 'select $? from t1'],
])('a statement is shown without the values in it: %s', (statement, shown) => {
  expect(withoutValues(statement)).toBe(shown);
});
