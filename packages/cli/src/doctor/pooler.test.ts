import {
  findPgBouncer,
  makeServiceLogins,
  pooledSettings,
  type RunningServer,
  startPgBouncer,
  temporaryHome,
} from '@gatehouse/embedded';
import { type TestDatabase, testDatabase } from '@gatehouse/kit/testing';
import { migrateUp } from '@gatehouse/schema';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { examinePooler } from './pooler.ts';

const binary = findPgBouncer();
const ownUrls = /^[A-Z_]+_DATABASE_URL$/;

describe.skipIf(binary === undefined)('of a pooler in transaction mode the doctor says', () => {
  const home = temporaryHome('gatehouse-doctor-pooler-');
  let database: TestDatabase;
  let pooler: RunningServer;
  let settings: Record<string, string>;
  beforeAll(async () => {
    database = await testDatabase();
    await migrateUp(database.url);
    const logins = await makeServiceLogins(database.url);
    pooler = await startPgBouncer({
      home: home.path,
      binary: binary?.path ?? '',
      upstream: database.url,
      logins,
    });
    settings = pooledSettings(database.url, pooler.url, logins);
  });
  afterAll(async () => {
    await pooler?.stop();
    await database?.drop();
    home.remove();
  });
  const look = (env: Record<string, string>) => examinePooler({ env });

  it('that all is well, announced and with a way past it', async () => {
    expect(await look(settings)).toMatchObject([{ name: 'database.pooler', status: 'ok' }]);
  });

  it('that it was not announced', async () => {
    expect(await look({ DATABASE_URL: settings.DATABASE_URL ?? '' })).toMatchObject([
      {
        status: 'failed',
        finding: expect.stringContaining('leads to a pooler'),
        remedy: expect.stringContaining('DATABASE_POOLER=transaction'),
      },
    ]);
  });

  it('that nothing leads past it', async () => {
    expect(await look({ ...settings, DATABASE_DIRECT_URL: '' })).toMatchObject([
      { status: 'warning', finding: expect.stringContaining('DATABASE_DIRECT_URL is not set') },
    ]);
    expect(await look({ ...settings, DATABASE_DIRECT_URL: settings.AUTH_DATABASE_URL ?? '' })).toMatchObject([
      { status: 'failed', finding: expect.stringContaining('leads to a pooler too') },
    ]);
  });

  it('that a service has the login of another', async () => {
    const mixed = { ...settings, TOKEN_DATABASE_URL: settings.AUDIT_DATABASE_URL ?? '' };
    expect(await look(mixed)).toMatchObject([
      { status: 'failed', remedy: expect.stringContaining('must be gatehouse_token') },
    ]);
  });

  it('of what is none: that each connection is a session', async () => {
    const own = Object.keys(settings).filter((name) => ownUrls.test(name));
    const direct = Object.fromEntries(own.map((name) => [name, '']));
    expect(await look({ ...direct, DATABASE_URL: database.url })).toMatchObject([
      { status: 'ok', finding: 'each connection is a session' },
    ]);
    expect(await look({ DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' })).toMatchObject([
      { status: 'failed', finding: expect.stringContaining('nothing listens') },
    ]);
  });
});
