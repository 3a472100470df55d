import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { type Installation, type InstallationOptions, startInstallation } from '@gatehouse/embedded';
import pg from 'pg';
import type { Figure } from './report.ts';

/** What every measurement is told. */
export interface BenchOptions {
  /** Length of each load. */
  readonly seconds: number;
  readonly say: (line: string) => void;
}

/** One measurement: makes what it needs, measures, cleans up. */
export type Measurement = (options: BenchOptions) => Promise<Figure[]>;

/** As shipped: full hashes, limits on (counted, but out of the way of one address that makes all the load). */
export const asShipped: Readonly<Record<string, string>> = {
  ARGON2_MEMORY_KIB: '65536',
  ARGON2_ITERATIONS: '3',
  LOG_LEVEL: 'info',
  RATE_LIMIT_ENABLED: 'true',
  RATE_LIMIT_LOGIN_MAX: '10000000',
  RATE_LIMIT_REGISTER_MAX: '10000000',
  RATE_LIMIT_REFRESH_MAX: '10000000',
  RATE_LIMIT_ADMIN_MAX: '10000000',
  RATE_LIMIT_DEFAULT_MAX: '10000000',
  RATE_LIMIT_LOGIN_ACCOUNT_MAX: '1000000',
};

/** Whether the services reach Postgres through PgBouncer, for measurements that do not say it themselves. */
export const behindPooler = process.env.GATEHOUSE_POOLER === 'true';

/** Runs `work` on an installation with a Postgres, a nats-server and a Redis-less edge of its own. */
export async function onInstallation<T>(
  options: Partial<InstallationOptions>,
  work: (installation: Installation) => Promise<T>,
): Promise<T> {
  const installation = await startInstallation({
    mode: options.mode ?? 'one',
    searchLogs: false,
    ...(behindPooler && { pooler: true }),
    ...options,
    env: { ...asShipped, ...options.env },
  });
  try {
    return await work(installation);
  } finally {
    await installation.close();
  }
}

/** A signed-in account. */
export interface Person {
  readonly email: string;
  readonly password: string;
  readonly access_token: string;
  readonly refresh_token: string;
  readonly session_id: string;
}

const password = 'StrongPassword123';

/** Registers and signs in people, two at a time: that is what the machine hashes at once. */
export async function people(url: string, count: number): Promise<Person[]> {
  const made: Person[] = [];
  let next = 0;
  const lane = async () => {
    while (next < count) {
      const email = `bench-${process.pid}-${Date.now()}-${next++}@example.com`;
      await post(url, '/api/auth/register', { email, password });
      const tokens = await post(url, '/api/auth/login', { email, password });
      made.push({ email, password, ...(tokens as Omit<Person, 'email' | 'password'>) });
    }
  };
  await Promise.all([lane(), lane()]);
  return made;
}

/** Sends JSON; 503 is tried again, anything else unexpected throws. */
export async function post(url: string, path: string, body: unknown, token?: string): Promise<unknown> {
  for (;;) {
    const answer = await fetch(new URL(path, url), {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(token && { authorization: `Bearer ${token}` }) },
      body: JSON.stringify(body),
    });
    if (answer.status === 503) continue;
    if (!answer.ok) throw new Error(`${path} answered ${answer.status}`);
    return answer.status === 204 ? undefined : answer.json();
  }
}

/** Runs a script of this folder under this Node and hands back the number that it prints. */
export function runScript(name: string, ...args: string[]): Promise<number> {
  const child = spawn(process.execPath, [join(import.meta.dirname, name), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let printed = '';
  child.stdout.on('data', (chunk) => {
    printed += chunk;
  });
  return new Promise((resolve, reject) => {
    child.once('exit', (code) => {
      if (code === 0) resolve(Number(printed.trim()));
      else reject(new Error(`${name} ended with ${code}`));
    });
  });
}

/** A bare Fastify server in a process of its own. */
export async function bareServer(): Promise<{ url: string; stop(): void }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'bare-server.ts')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const port = await new Promise<string>((resolve, reject) => {
    child.stdout.once('data', (chunk) => resolve(String(chunk).trim()));
    child.once('exit', (code) => reject(new Error(`the bare server ended with ${code}`)));
  });
  return { url: `http://127.0.0.1:${port}`, stop: () => child.kill() };
}

/** Makes another migrated database in the installation's Postgres. */
export async function copyOfSchema(installation: Installation): Promise<string> {
  const { migrateUp } = await import('@gatehouse/schema');
  const url = new URL(installation.databaseUrl);
  const client = new pg.Client({ connectionString: url.href });
  await client.connect();
  await client.query('create database raw');
  await client.end();
  url.pathname = '/raw';
  await migrateUp(url.href);
  return url.href;
}

/** One query as the owner. */
export async function query<Row extends pg.QueryResultRow>(
  installation: Installation,
  text: string,
): Promise<Row[]> {
  const client = new pg.Client({ connectionString: installation.databaseUrl });
  await client.connect();
  try {
    return (await client.query<Row>(text)).rows;
  } finally {
    await client.end();
  }
}
