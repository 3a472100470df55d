import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

/** A sign-in that the command keeps between calls. */
export interface StoredSession {
  readonly access_token: string;
  readonly refresh_token: string;
  /** Milliseconds since the epoch. */
  readonly expires_at: number;
}

type Sessions = Record<string, StoredSession>;

/** Where sign-ins are kept: one file, mode 0600, an entry an address. */
export function sessionPath(env: NodeJS.ProcessEnv = process.env): string {
  const base = env.XDG_CONFIG_HOME || join(homedir(), '.config');
  return env.GATEHOUSE_SESSION_FILE || join(base, 'gatehouse', 'sessions.json');
}

async function readAll(path: string): Promise<Sessions> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Sessions;
  } catch {
    return {};
  }
}

/** The sign-in for an address, or undefined. */
export async function readSession(url: string): Promise<StoredSession | undefined> {
  return (await readAll(sessionPath()))[url];
}

/** Keeps or (with undefined) forgets a sign-in. Written aside and renamed, so that a kill leaves the old or the new file. */
export async function writeSession(url: string, session: StoredSession | undefined): Promise<void> {
  const path = sessionPath();
  const { [url]: _, ...others } = await readAll(path);
  const all = session === undefined ? others : { ...others, [url]: session };
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const aside = `${path}.${process.pid}`;
  try {
    await writeFile(aside, JSON.stringify(all, null, 2), { mode: 0o600 });
    await rename(aside, path);
  } finally {
    await rm(aside, { force: true });
  }
}
