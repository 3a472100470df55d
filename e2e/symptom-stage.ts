import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { repositoryRoot } from '@gatehouse/embedded';
import type pg from 'pg';
import { ask } from './database.ts';
import type { Platform } from './platform.ts';
import { type Gatehouse, gatehouseFor, type Ran } from './run-gatehouse.ts';
import { preparation } from './symptom-page.ts';

/** A platform with somebody at a terminal who has the runbook open. */
export interface Stage {
  readonly platform: Platform;
  readonly gatehouse: Gatehouse;
  /** Runs a line of the page as its reader would; `more` is in its environment besides. */
  shell(line: string, more?: Readonly<Record<string, string>>): Promise<Ran>;
  /** SQL as the owner of the database. */
  sql<Row extends pg.QueryResultRow>(text: string, values?: readonly unknown[]): Promise<Row[]>;
  close(): Promise<void>;
}

/** Opens the terminal: signed in, with what the top of the page tells to set. */
export async function openStage(platform: Platform, prometheus: string): Promise<Stage> {
  const gatehouse = gatehouseFor(() => platform);
  const bin = join(gatehouse.home, 'bin');
  mkdirSync(bin);
  const main = join(repositoryRoot, 'packages/cli/src/main.ts');
  writeFileSync(join(bin, 'gatehouse'), `#!/bin/sh\nexec "${process.execPath}" "${main}" "$@"\n`, {
    mode: 0o755,
  });
  const log = join(gatehouse.home, 'gatehouse.log');
  await gatehouse.done(['login', '--email', platform.admin.email], `${platform.admin.password}\n`);
  const before = preparation();
  const env = {
    ...platform.env,
    PATH: `${bin}:${process.env.PATH}`,
    HOME: gatehouse.home,
    NODE_COMPILE_CACHE: join(repositoryRoot, '.local/compile-cache'),
    GATEHOUSE_URL: platform.url,
    GATEHOUSE_SESSION_FILE: gatehouse.sessions,
    GATEWAY: platform.url,
    AUTH: platform.urlOf('auth'),
    TOKEN: platform.urlOf('token'),
    AUDIT: platform.urlOf('audit'),
    NATSID: platform.urlOf('nats-identity'),
    PROMETHEUS: prometheus,
    LOG: log,
  };
  return {
    platform,
    gatehouse,
    shell(line, more = {}) {
      writeFileSync(log, platform.logs());
      return run(`${before}${line}`, gatehouse.home, { ...env, ...more });
    },
    sql: (text, values) => ask(platform.databaseUrl, text, values),
    close: async () => gatehouse.close(),
  };
}

function run(line: string, cwd: string, env: Record<string, string>): Promise<Ran> {
  const child = spawn('sh', ['-c', line], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr.on('data', (chunk) => {
    err += chunk;
  });
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, out, err })));
}
