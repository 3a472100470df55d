import { randomBytes } from 'node:crypto';
import { link, open, readFile, rename, rm, stat, unlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { Fault } from './fault.ts';

const POLL_MS = 25;
/** Longer than the longest request that is made under a lock (30 s). */
const STALE_AFTER_MS = 60_000;
const GIVE_UP_AFTER_MS = 75_000;

/**
 * Runs `work` while no other command does so with the same file; `file` itself is the lock, beside what it guards. The
 * lock of a command that was killed is taken over, at the latest after a minute.
 */
export async function withFileLock<T>(file: string, work: () => Promise<T>): Promise<T> {
  const mine = `${hostname()} ${process.pid} ${randomBytes(8).toString('base64url')}\n`;
  const until = Date.now() + GIVE_UP_AFTER_MS;
  while (!(await take(file, mine))) {
    if (Date.now() > until) throw new Fault(`${file} is held by another gatehouse command: try again`);
    await removeStale(file);
    await delay(POLL_MS);
  }
  try {
    return await work();
  } finally {
    if ((await textOf(file)) === mine) await unlink(file).catch(() => {});
  }
}

/** Written in full under another name and linked into place: nobody ever reads half a lock. */
async function take(file: string, mine: string): Promise<boolean> {
  const draft = `${file}.${randomBytes(6).toString('hex')}`;
  try {
    const handle = await open(draft, 'wx', 0o600);
    await handle.writeFile(mine).finally(() => handle.close());
    await link(draft, file);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return false;
    throw new Fault(`${file} cannot be written (${code ?? 'failed'})`);
  } finally {
    await rm(draft, { force: true });
  }
}

/** Two commands may find the same dead lock: whoever moved away a living one puts it back. */
async function removeStale(file: string): Promise<void> {
  const stale = await textOf(file);
  if (stale === undefined || !(await isStale(file, stale))) return;
  const aside = `${file}.${randomBytes(6).toString('hex')}`;
  try {
    await rename(file, aside);
    if ((await textOf(aside)) !== stale) await link(aside, file);
  } catch {
    // another command was faster
  } finally {
    await rm(aside, { force: true });
  }
}

async function isStale(file: string, text: string): Promise<boolean> {
  const [host, pid] = text.trim().split(' ');
  if (host === hostname() && !isAlive(Number(pid))) return true;
  const found = await stat(file).catch(() => undefined);
  return found !== undefined && Date.now() - found.mtimeMs > STALE_AFTER_MS;
}

/** Whether a process of that id is there, whoever it belongs to. */
export function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid < 1) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

const textOf = (file: string): Promise<string | undefined> => readFile(file, 'utf8').catch(() => undefined);
