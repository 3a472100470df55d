import { randomBytes, randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import {
  findNatsServer,
  noteSettings,
  type RunningServer,
  refuseLeaks,
  secretsSeen,
  startNats,
  temporaryHome,
  watchSecrets,
} from '@gatehouse/embedded';
import pg from 'pg';
import { createLog, type Log } from './log.ts';
import { type Running, run } from './run.ts';
import type { Service } from './service.ts';

export { certificateUntil } from './certificate-testing.ts';

const PAUSE_MS_MAX = 150;

/** Tries until `check` stops throwing (and, if it returns a boolean, says true) or the deadline passes. */
export async function eventually<T>(check: () => Promise<T> | T, deadlineMs = 10_000): Promise<T> {
  const until = performance.now() + deadlineMs;
  // What is soon there is soon seen; who waits for long leaves the processor to those who are waited for.
  for (let pauseMs = 20; ; pauseMs = Math.min(1.5 * pauseMs, PAUSE_MS_MAX)) {
    try {
      const value = await check();
      if (value !== false) return value;
      if (performance.now() > until) throw new Error('still false at the deadline');
    } catch (error) {
      if (performance.now() > until) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
}

/** A migrated database of its own, copied from the run's template. */
export interface TestDatabase {
  readonly url: string;
  /** Runs SQL as the owner, for ageing rows and looking behind the API. */
  query<Row extends pg.QueryResultRow>(text: string, values?: readonly unknown[]): Promise<Row[]>;
  /** Another database with what is in this one now, as from a backup. Whoever else is connected must have left. */
  copy(): Promise<TestDatabase>;
  drop(): Promise<void>;
}

/** Makes a database for one test file. Needs the environment that `npm test` or vitest's global set-up gives. */
export function testDatabase(): Promise<TestDatabase> {
  return databaseFrom(required('TEST_TEMPLATE_DATABASE'));
}

/** The same without anything in it, for what makes its tables itself. */
export const emptyDatabase = (): Promise<TestDatabase> => databaseFrom('template0');

async function databaseFrom(template: string): Promise<TestDatabase> {
  const server = required('TEST_POSTGRES_URL');
  const name = `t_${randomBytes(6).toString('hex')}`;
  await once(server, `create database ${name} template ${template}`);
  const url = new URL(server);
  url.pathname = `/${name}`;
  const open = () => {
    const opened = new pg.Pool({ connectionString: url.href, max: 2 });
    opened.on('error', () => {});
    return opened;
  };
  let pool = open();
  return {
    url: url.href,
    query: async (text, values = []) => (await pool.query(text, [...values])).rows,
    async copy() {
      await pool.end();
      pool = open();
      return eventually(() => databaseFrom(name));
    },
    async drop() {
      await pool.end();
      await dropDatabase(server, name);
    },
  };
}

// Autovacuum may be in it, which only a superuser may end: it is done in a moment.
async function dropDatabase(server: string, name: string): Promise<void> {
  await eventually(() => once(server, `drop database if exists ${name} with (force)`));
}

function required(name: string): string {
  const value = process.env[name];
  if (value === undefined)
    throw new Error(`${name} is missing: run tests with npm test, or vitest from the root`);
  return value;
}

async function once(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}

/** A nats-server of its own, with JetStream in a folder that goes with it. */
export interface TestNats {
  readonly url: string;
  /** The running server; after `restart` another one on the same port and store. */
  server(): RunningServer;
  /** Starts it again on the same port, with the same store unless it is to be wiped. */
  restart(options?: { wiped?: boolean }): Promise<void>;
  close(): Promise<void>;
}

/** Starts a nats-server for one test file. */
export async function testNats(): Promise<TestNats> {
  const home = temporaryHome('gatehouse-nats-');
  const password = randomBytes(12).toString('base64url');
  const start = (port?: number) =>
    startNats({
      home: home.path,
      login: { user: 'gatehouse', password },
      binary: findNatsServer().path,
      ...(port && { port }),
    });
  let server = await start();
  const { port, url } = server;
  return {
    url,
    server: () => server,
    async restart(options = {}) {
      await server.stop();
      if (options.wiped) rmSync(`${home.path}/jetstream`, { recursive: true, force: true });
      server = await start(port);
    },
    async close() {
      await server.stop();
      home.remove();
    },
  };
}

/** Settings for a platform under test: cheap hashes, no limits in the way, secrets of its own. */
export function testEnv(overrides: Record<string, string> = {}): Record<string, string> {
  return {
    NODE_ENV: 'test',
    HOST: '127.0.0.1',
    PORT: '0',
    LOG_LEVEL: 'warn',
    MIGRATE_ON_START: 'false',
    GATEHOUSE_SECRET: randomBytes(32).toString('base64url'),
    ENCRYPTION_KEYS: `k1:${randomBytes(32).toString('base64url')}`,
    ENCRYPTION_CURRENT_KEY_ID: 'k1',
    DATABASE_POOL_MAX: '4',
    ARGON2_MEMORY_KIB: '1024',
    ARGON2_ITERATIONS: '1',
    METRICS_GUARD: 'none',
    RATE_LIMIT_ENABLED: 'false',
    ...overrides,
  };
}

/** A platform in this process, on a database and a nats-server of its own. */
export interface TestPlatform extends Running {
  readonly database: TestDatabase;
  readonly nats: TestNats;
  readonly env: Readonly<Record<string, string>>;
  readonly api: Api;
  /** Ends the process and starts another on the same parts, as a restart does. */
  restart(overrides?: Record<string, string>): Promise<TestPlatform>;
  /** Ends it all and removes what it left. */
  close(): Promise<void>;
}

/** Starts services in this process on real parts of their own. */
export async function startPlatform(
  services: readonly Service[],
  overrides: Record<string, string> = {},
): Promise<TestPlatform> {
  const [database, nats] = await Promise.all([testDatabase(), testNats()]);
  const env = testEnv({ DATABASE_URL: database.url, NATS_URL: nats.url, ...overrides });
  return startOn(services, { database, nats, env });
}

async function startOn(
  services: readonly Service[],
  parts: { database: TestDatabase; nats: TestNats; env: Record<string, string> },
): Promise<TestPlatform> {
  const log = searchedLog(parts.env);
  const running = await run(services, { env: parts.env, log: log.log });
  return {
    ...running,
    ...parts,
    api: apiOf(running.url),
    async restart(overrides = {}) {
      await running.stop();
      log.search();
      return startOn(services, { ...parts, env: { ...parts.env, ...overrides } });
    },
    async close() {
      await running.stop();
      await Promise.all([parts.database.drop(), parts.nats.close()]);
      log.search();
    },
  };
}

/**
 * A log of everything that could be written, kept in memory; shown from the level TEST_LOG on. `search` throws when it
 * tells a secret of the settings or of what the test sent and got.
 */
function searchedLog(env: Readonly<Record<string, string>>): { log: Log; search(): void } {
  watchSecrets();
  noteSettings(env);
  const lines: string[] = [];
  const shownFrom = process.env.TEST_LOG;
  const write = (line: string) => {
    lines.push(line);
    if (shownFrom !== undefined) process.stdout.write(line);
  };
  return {
    log: createLog({ level: shownFrom ?? 'debug', pretty: false, destination: { write } }),
    search: () => refuseLeaks([{ name: 'log', content: Buffer.from(lines.join('')) }], secretsSeen()),
  };
}

/** What an answer looked like. */
export interface ApiAnswer {
  readonly status: number;
  readonly headers: Headers;
  /** The body as JSON, or undefined when it was none. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape.
  readonly body: any;
  readonly text: string;
}

/** How a request goes out. */
export interface ApiOptions {
  readonly token?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A client for tests: any method, any path, JSON in and out. */
export interface Api {
  readonly url: string;
  request(method: string, path: string, body?: unknown, options?: ApiOptions): Promise<ApiAnswer>;
  get(path: string, options?: ApiOptions): Promise<ApiAnswer>;
  post(path: string, body?: unknown, options?: ApiOptions): Promise<ApiAnswer>;
}

/** A test client of an installation. Bodies that are texts go out as they are. */
export function apiOf(url: string): Api {
  const request: Api['request'] = async (method, path, body, options = {}) => {
    const headers: Record<string, string> = {
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
      ...options.headers,
    };
    const payload =
      body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) };
    const answer = await fetch(url + path, { method, headers, redirect: 'manual', ...payload });
    const text = await answer.text();
    const json =
      /[/+]json\b/.test(answer.headers.get('content-type') ?? '') && text !== ''
        ? JSON.parse(text)
        : undefined;
    return { status: answer.status, headers: answer.headers, body: json, text };
  };
  return {
    url,
    request,
    get: (path, options) => request('GET', path, undefined, options),
    post: (path, body, options) => request('POST', path, body, options),
  };
}

/** An address that nobody else in the run uses. */
export function newEmail(): string {
  return `user-${randomUUID()}@example.com`;
}

/** A password that the policy takes. */
export const goodPassword = 'StrongPassword123';
