import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { repositoryRoot } from '@gatehouse/embedded';
import type { Platform } from './platform.ts';
import type { Gatehouse } from './run-gatehouse.ts';

/** What a command did. */
export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** All that a process says until it has ended. */
export function endOf(child: ChildProcess): Promise<Ran> {
  let out = '';
  let err = '';
  child.stdout?.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr?.on('data', (chunk) => {
    err += chunk;
  });
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, out, err })));
}

/** Where the modules of the command are kept compiled: it is started hundreds of times. */
export const compileCache = { NODE_COMPILE_CACHE: join(repositoryRoot, '.local/compile-cache') };

/** The command, as this checkout has it. */
export const commandFile = join(repositoryRoot, 'packages/cli/src/main.ts');

/** Runs a line as somebody would who stands before it; `more` is in its environment besides. */
export type Shell = (line: string, more?: Readonly<Record<string, string>>) => Promise<Ran>;

/** A shell on the machine of a platform: its settings, `gatehouse` on the path, and the sign-in of `gatehouse`. */
export function shellOf(platform: Platform, { home, sessions }: Gatehouse): Shell {
  const bin = join(home, 'bin');
  mkdirSync(bin);
  writeFileSync(join(bin, 'gatehouse'), `#!/bin/sh\nexec "${process.execPath}" "${commandFile}" "$@"\n`, {
    mode: 0o755,
  });
  const env = {
    ...platform.env,
    ...compileCache,
    PATH: `${bin}:${process.env.PATH}`,
    HOME: home,
    GATEHOUSE_URL: platform.url,
    GATEHOUSE_SESSION_FILE: sessions,
  };
  return (line, more = {}) =>
    endOf(
      spawn('sh', ['-c', line], { cwd: home, env: { ...env, ...more }, stdio: ['ignore', 'pipe', 'pipe'] }),
    );
}
