import { mkdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { withFileLock } from './file-lock.ts';

/** Where sign-ins are kept: one file, mode 0600. Profiles lie beside it. */
export function sessionPath(env: NodeJS.ProcessEnv = process.env): string {
  const base = env.XDG_CONFIG_HOME || join(homedir(), '.config');
  return env.GATEHOUSE_SESSION_FILE || join(base, 'gatehouse', 'sessions.json');
}

/** The installations that have a name here. */
export const profilesPath = (env?: NodeJS.ProcessEnv): string =>
  join(dirname(sessionPath(env)), 'profiles.json');

/** Runs `work` while no other command changes sign-ins or profiles; the folder is there then, mode 0700. */
export async function changingConfig<T>(work: () => Promise<T>): Promise<T> {
  const path = sessionPath();
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  return withFileLock(`${path}.lock`, work);
}
