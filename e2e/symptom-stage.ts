import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type pg from 'pg';
import { ask } from './database.ts';
import type { Platform } from './platform.ts';
import { type Gatehouse, gatehouseFor } from './run-gatehouse.ts';
import { preparation, type Step, symptomNamed } from './symptom-page.ts';
import { type Shell, shellOf } from './terminal.ts';

/** How commands of the page are run. */
export interface Reading {
  /** In their environment, besides. */
  readonly env?: Readonly<Record<string, string>>;
  /** Puts in what the page leaves to its reader; `said`: what the commands before it have said. */
  readonly fill?: ((command: string, said: string) => string) | undefined;
}

/** A platform with somebody at a terminal who has the runbook open. */
export interface Stage {
  readonly platform: Platform;
  readonly gatehouse: Gatehouse;
  /** Runs a line of the page as its reader would. */
  readonly shell: Shell;
  /** What the commands of a step say, without the commands themselves: those would match what is looked for in them. */
  read(section: string, step: Step, how?: Reading): Promise<string>;
  /** SQL as the owner of the database. */
  sql<Row extends pg.QueryResultRow>(text: string, values?: readonly unknown[]): Promise<Row[]>;
  close(): Promise<void>;
}

/** Opens the terminal: signed in, with what the top of the page tells to set. */
export async function openStage(platform: Platform, prometheus: string): Promise<Stage> {
  const gatehouse = gatehouseFor(() => platform);
  const shell = shellOf(platform, gatehouse);
  const log = join(gatehouse.home, 'gatehouse.log');
  await gatehouse.done(['login', '--email', platform.admin.email], `${platform.admin.password}\n`);
  const before = preparation();
  const places = {
    GATEWAY: platform.url,
    AUTH: platform.urlOf('auth'),
    TOKEN: platform.urlOf('token'),
    AUDIT: platform.urlOf('audit'),
    NATSID: platform.urlOf('nats-identity'),
    PROMETHEUS: prometheus,
    LOG: log,
  };
  const run: Shell = (line, more = {}) => {
    writeFileSync(log, platform.logs());
    return shell(`${before}${line}`, { ...places, ...more });
  };
  return {
    platform,
    gatehouse,
    shell: run,
    async read(section, step, { env, fill } = {}) {
      let said = '';
      for (const command of symptomNamed(section).commands[step]) {
        const { out, err } = await run(fill?.(command, said) ?? command, env);
        said += out + err;
      }
      return said;
    },
    sql: (text, values) => ask(platform.databaseUrl, text, values),
    close: async () => gatehouse.close(),
  };
}
