import { randomBytes } from 'node:crypto';
import { startPostgres, temporaryHome } from '@gatehouse/embedded';
import { migrateUp } from '@gatehouse/schema';
import pg from 'pg';

/**
 * Before the first test file: a Postgres (unless TEST_POSTGRES_URL names one) and in it one migrated database,
 * TEST_TEMPLATE_DATABASE, from which each test file makes its own with `create database … template …`.
 * `npm test` does this once for all projects; vitest alone gets it here.
 */
export default async function setup(): Promise<(() => Promise<void>) | undefined> {
  if (process.env.TEST_POSTGRES_URL && process.env.TEST_TEMPLATE_DATABASE) return undefined;
  const postgres = process.env.TEST_POSTGRES_URL ? undefined : await startTestPostgres();
  const url = postgres?.url ?? process.env.TEST_POSTGRES_URL ?? '';
  const template = await makeTemplate(url);
  process.env.TEST_POSTGRES_URL = url;
  process.env.TEST_TEMPLATE_DATABASE = template;
  if (postgres) process.env.TEST_POSTGRES_LOG = postgres.logFile;
  return async () => {
    delete process.env.TEST_TEMPLATE_DATABASE;
    if (postgres) {
      delete process.env.TEST_POSTGRES_URL;
      delete process.env.TEST_POSTGRES_LOG;
      await postgres.stop();
    } else {
      await onServer(url, `drop database if exists ${template}`);
    }
  };
}

/**
 * A Postgres for tests, without the waits for the disk: a crash of the machine may lose it, a crash of the server
 * may not. What kills things on purpose starts its own with the defaults.
 */
export async function startTestPostgres(): Promise<{ url: string; logFile: string; stop(): Promise<void> }> {
  const home = temporaryHome('gatehouse-test-');
  const postgres = await startPostgres({
    home: home.path,
    password: randomBytes(18).toString('base64url'),
    database: 'gatehouse',
    flags: { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', max_connections: '400' },
  });
  return {
    url: postgres.url,
    logFile: postgres.logFile,
    async stop() {
      await postgres.stop();
      home.remove();
    },
  };
}

/** Makes a migrated database and returns its name. Nobody may stay connected to it: that blocks copying. */
export async function makeTemplate(url: string): Promise<string> {
  const name = `gatehouse_template_${randomBytes(4).toString('hex')}`;
  await onServer(url, `create database ${name}`);
  const target = new URL(url);
  target.pathname = `/${name}`;
  await migrateUp(target.href);
  return name;
}

async function onServer(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
