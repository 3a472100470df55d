import { randomBytes } from 'node:crypto';
import pg from 'pg';

export interface TestDatabase {
  readonly url: string;
  /** One statement as the owner. */
  query(text: string, values?: unknown[]): Promise<Record<string, unknown>[]>;
  drop(): Promise<void>;
}

/** The server that the test run brought up (or that TEST_POSTGRES_URL names): a login that may make databases. */
export const testServerUrl = (): string => {
  const url = process.env.TEST_POSTGRES_URL;
  if (url === undefined || url === '') {
    throw new Error(
      'TEST_POSTGRES_URL is not set: start the tests with "npm test", or point it at a Postgres',
    );
  }
  return url;
};

export const withDatabaseName = (
  url: string,
  name: string,
  user?: { name: string; password: string },
): string => {
  const changed = new URL(url);
  changed.pathname = `/${name}`;
  if (user !== undefined) {
    changed.username = user.name;
    changed.password = user.password;
  }
  return changed.href;
};

const once = async (url: string, text: string, values?: unknown[]): Promise<Record<string, unknown>[]> => {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const result: pg.QueryResult<Record<string, unknown>> = await client.query(text, values);
    return result.rows;
  } finally {
    await client.end();
  }
};

/** Autovacuum may be in it, which only a superuser may end: it is done in a moment. */
const dropDatabase = async (server: string, name: string): Promise<void> => {
  for (const until = performance.now() + 10_000; ; ) {
    try {
      await once(server, `drop database if exists ${name} with (force)`);
      return;
    } catch (error) {
      if (performance.now() > until) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
};

/** A new, empty database for one test file. */
export const createTestDatabase = async (): Promise<TestDatabase> => {
  const server = testServerUrl();
  const name = `schema_${randomBytes(6).toString('hex')}`;
  // template0: nobody can be connected to it, so that files may do this at the same time.
  await once(server, `create database ${name} template template0`);
  const url = withDatabaseName(server, name);
  return {
    url,
    query: (text, values) => once(url, text, values),
    drop: async () => {
      await dropDatabase(server, name);
    },
  };
};
