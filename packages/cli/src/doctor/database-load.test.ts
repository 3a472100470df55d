import { randomBytes } from 'node:crypto';
import { eventually, type TestDatabase, testDatabase } from '@gatehouse/kit/testing';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Check } from './check.ts';
import { judgeConnections } from './database-load.ts';
import { examine } from './examine.ts';

let database: TestDatabase;
beforeEach(async () => {
  database = await testDatabase();
});
afterEach(() => database.drop());

async function look(name: string, url = database.url): Promise<Check> {
  const env = { DATABASE_URL: url, GATEHOUSE_HOME: '/nowhere' };
  const found = (await examine('http://127.0.0.1:9', env)).find((check) => check.name === name);
  if (found === undefined) throw new Error(`no check ${name}`);
  return found;
}

describe('locks', () => {
  it('that somebody holds while others wait: a warning with the process; ending it, as the remedy says, mends it', async () => {
    expect((await look('database.locks')).status).toBe('ok');
    const holder = new pg.Client({ connectionString: database.url, application_name: 'monthly-report' });
    holder.on('error', () => {});
    await holder.connect();
    await holder.query('begin; lock table auth.tenant in access exclusive mode');
    const waiting = database.query('select from auth.tenant');
    const check = await eventually(async () => {
      const found = await look('database.locks');
      expect(found.status).toBe('warning');
      return found;
    }, 20_000);
    expect(check.finding).toMatch(/^1 session waits for process \d+ \(monthly-report, idle in transaction\)/);
    const pid = /gatehouse database end-session (\d+)/.exec(check.remedy ?? '')?.[1];
    await database.query('select pg_terminate_backend($1)', [pid]);
    await waiting;
    expect((await look('database.locks')).status).toBe('ok');
    await holder.end().catch(() => {});
  });
});

describe('roles', () => {
  it('that the login may not act as: failed, with the file that mends it', async () => {
    const login = new URL(database.url);
    login.username = `doctor_${randomBytes(4).toString('hex')}`;
    login.password = randomBytes(12).toString('hex');
    await database.query(`create role ${login.username} login password '${login.password}'`);
    try {
      expect(await look('database.roles', login.href)).toMatchObject({
        status: 'failed',
        finding: expect.stringMatching(/may not act as gatehouse_auth, .*gatehouse_natsid/),
        remedy: expect.stringContaining('infra/postgres/roles.sql'),
      });
    } finally {
      await database.query(`drop role ${login.username}`);
    }
  });
});

describe('connections', () => {
  it('are told with whose they are', async () => {
    expect((await look('database.connections')).finding).toMatch(
      /in use: .*gatehouse-doctor \d+ \(\d+ busy\)/,
    );
  });

  it.each([
    [79, 'ok'],
    [80, 'warning'],
    [95, 'failed'],
  ])('of which %d of 100 are taken: %s', (used, status) => {
    expect(judgeConnections([{ name: 'gatehouse-auth', used, busy: 8, most: 100 }])).toMatchObject({
      status,
      finding: `${used} of 100 in use: gatehouse-auth ${used} (8 busy)`,
    });
  });
});
