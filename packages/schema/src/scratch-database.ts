import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { splitDatabaseUrl } from './database-url.ts';

const INSUFFICIENT_PRIVILEGE = '42501';

/** No database could be made aside; the message names the ways out. */
export class ScratchRefused extends Error {
  override readonly name = 'ScratchRefused';
}

/**
 * Works on a new empty database of the server, which is dropped afterwards. A process that is killed leaves it behind,
 * by the name gatehouse_plan_….
 *
 * @param text a URL of that server, of a login that may make databases
 * @throws ScratchRefused, InvalidDatabaseUrl, and what `work` throws
 */
export const withScratchDatabase = async <T>(text: string, work: (url: string) => Promise<T>): Promise<T> => {
  const name = `gatehouse_plan_${randomBytes(6).toString('hex')}`;
  const url = new URL(splitDatabaseUrl(text).url);
  try {
    await once(url.href, `create database ${name} template template0`);
  } catch (error) {
    if ((error as { code?: string }).code !== INSUFFICIENT_PRIVILEGE) throw error;
    throw new ScratchRefused(
      'the database user may not make a database to try the migrations in: give it CREATEDB, set SCRATCH_DATABASE_URL to another server, or use --rehearse or --static',
    );
  }
  try {
    const scratch = new URL(url);
    scratch.pathname = `/${name}`;
    return await work(scratch.href);
  } finally {
    await once(url.href, `drop database if exists ${name} with (force)`).catch(() => undefined);
  }
};

const once = async (url: string, statement: string): Promise<void> => {
  const client = new pg.Client({ connectionString: url, application_name: 'gatehouse-migrate' });
  client.on('error', () => {});
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
};
