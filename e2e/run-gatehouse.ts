import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { noteBody, noteSecret, noteSettings } from '@gatehouse/embedded';
import { expect } from 'vitest';
import type { Platform } from './platform.ts';
import { commandFile, compileCache, endOf, type Ran } from './terminal.ts';

/** The gatehouse command as its own process against an installation, with a sign-in of its own. */
export interface Gatehouse {
  /** A folder of its own. */
  readonly home: string;
  /** Where the sign-in is kept. */
  readonly sessions: string;
  run(args: readonly string[], input?: string): Promise<Ran>;
  /** Runs it, expects exit code 0, and returns what it said. */
  done(args: readonly string[], input?: string): Promise<string>;
  /** Runs it with --json, expects exit code 0, and returns what it answered. */
  // biome-ignore lint/suspicious/noExplicitAny: answers of every command.
  json(args: readonly string[], input?: string): Promise<any>;
  close(): void;
}

/**
 * Makes a gatehouse command; `platform` is asked at each run, so it may still be starting. `settings`: what it finds in
 * its environment besides.
 */
export function gatehouseFor(
  platform: () => Pick<Platform, 'url' | 'databaseUrl'>,
  settings: () => Readonly<Record<string, string>> = () => ({}),
): Gatehouse {
  const home = mkdtempSync(join(tmpdir(), 'gatehouse-cli-'));
  const sessions = join(home, 'sessions.json');
  const run: Gatehouse['run'] = async (args, input = '') => {
    noteSettings(settings());
    // What is asked for on standard input is a password, a seed or a yes.
    for (const line of input.split('\n'))
      if (!/[\s@{]/.test(line)) noteSecret(line, `an input of ${args[0]}`);
    const child = spawn(process.execPath, [commandFile, ...args], {
      env: {
        ...compileCache,
        PATH: process.env.PATH,
        GATEHOUSE_URL: platform().url,
        GATEHOUSE_SESSION_FILE: sessions,
        DATABASE_URL: platform().databaseUrl,
        ...settings(),
      },
    });
    // One that has ended already reads nothing.
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    const ran = await endOf(child);
    noteBody(ran.out, `the output of ${args[0]}`);
    return ran;
  };
  const done: Gatehouse['done'] = async (args, input) => {
    const { code, out, err } = await run(args, input);
    expect(code, `${args.join(' ')}: ${err}${out}`).toBe(0);
    return out;
  };
  return {
    home,
    sessions,
    run,
    done,
    json: async (args, input) => JSON.parse(await done(['--json', ...args], input)),
    close: () => rmSync(home, { recursive: true, force: true }),
  };
}
