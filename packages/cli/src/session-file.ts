import { chmod, readFile, stat } from 'node:fs/promises';
import { changingConfig, sessionPath } from './config-folder.ts';
import { Fault } from './fault.ts';
import { writeSecretFile } from './secret-file.ts';

export { sessionPath } from './config-folder.ts';

/** A sign-in that the command keeps between calls. */
export interface StoredSession {
  readonly access_token: string;
  readonly refresh_token: string;
  /** Milliseconds since the epoch. */
  readonly expires_at: number;
}

/** Whose sign-in it is: the address that gave it, and the profile under which. */
export interface SessionOwner {
  readonly url: string;
  readonly profile?: string | undefined;
}

type Sessions = Record<string, StoredSession>;

// The address is part of the key: a profile that gets another address has no sign-in there. Addresses hold no blanks.
const keyOf = ({ url, profile }: SessionOwner): string => (profile === undefined ? url : `${profile} ${url}`);

async function readAll(): Promise<Sessions> {
  const path = sessionPath();
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw new Fault(`${path} cannot be read (${error.code ?? 'failed'})`);
  });
  if (text === undefined) return {};
  await keepPrivate(path);
  try {
    const found: unknown = JSON.parse(text);
    return typeof found === 'object' && found !== null ? (found as Sessions) : {};
  } catch {
    return {};
  }
}

/** A copy or a backup may have given it a looser mode. */
async function keepPrivate(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const { mode } = await stat(path);
  if ((mode & 0o077) !== 0) await chmod(path, 0o600);
}

/** The sign-in of an owner, or undefined. */
export async function readSession(owner: SessionOwner): Promise<StoredSession | undefined> {
  const found: Partial<StoredSession> | undefined = (await readAll())[keyOf(owner)];
  const { access_token, refresh_token, expires_at } = found ?? {};
  if (typeof access_token !== 'string' || typeof refresh_token !== 'string') return undefined;
  return { access_token, refresh_token, expires_at: Number(expires_at) || 0 };
}

/** Keeps or (with undefined) forgets a sign-in. */
export const writeSession = (owner: SessionOwner, session: StoredSession | undefined): Promise<void> =>
  changingConfig(() => put(owner, session));

async function put(owner: SessionOwner, session: StoredSession | undefined): Promise<void> {
  const { [keyOf(owner)]: _, ...others } = await readAll();
  const all = session === undefined ? others : { ...others, [keyOf(owner)]: session };
  await writeSecretFile(sessionPath(), `${JSON.stringify(all, null, 2)}\n`, true);
}

/** What to keep instead of a sign-in, and what came of it. */
export interface Replaced<T> {
  /** undefined forgets the sign-in. */
  readonly keep: StoredSession | undefined;
  readonly result: T;
}

/**
 * Replaces a sign-in while no other command can: of two that find the same token spent, the second sees what the first
 * has got and spends nothing. `work` is told what is kept now; what it throws leaves that as it is.
 */
export function replaceSession<T>(
  owner: SessionOwner,
  work: (kept: StoredSession | undefined) => Promise<Replaced<T>>,
): Promise<T> {
  return changingConfig(async () => {
    const kept = await readSession(owner);
    const { keep, result } = await work(kept);
    if (keep !== kept) await put(owner, keep);
    return result;
  });
}

/** Addresses at which a profile is signed in. */
export async function sessionsOf(profile: string): Promise<SessionOwner[]> {
  return Object.keys(await readAll())
    .filter((key) => key.startsWith(`${profile} `))
    .map((key) => ({ profile, url: key.slice(profile.length + 1) }));
}
