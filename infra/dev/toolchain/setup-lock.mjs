import { randomBytes } from 'node:crypto';
import { linkSync, readFileSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/**
 * A lock file with the owner's id and start time (ids are used again), so that the lock of a killed run is not
 * waited for. `take` hands back the way to release it, or who holds it.
 */
export function takeLock(file) {
  for (;;) {
    const mine = `${process.pid} ${startOf(process.pid)}\n`;
    // Written in full under another name and linked into place: nobody ever reads half a lock.
    const draft = `${file}.${process.pid}-${randomBytes(4).toString('hex')}`;
    writeFileSync(draft, mine, { mode: 0o600 });
    try {
      linkSync(draft, file);
      return { release: () => releaseLock(file, mine) };
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    } finally {
      rmSync(draft, { force: true });
    }
    const holder = holderOf(file);
    if (holder.pid !== undefined) return { pid: holder.pid };
    if (holder.text !== undefined) removeStale(file, holder.text);
  }
}

/** Waits for its turn; `onWait` is told once who is before us. */
export async function waitForLock(file, onWait) {
  let told = false;
  for (;;) {
    const lock = takeLock(file);
    if (lock.release) return lock;
    if (!told) onWait(lock.pid);
    told = true;
    await delay(200);
  }
}

/** The living holder's id, or the text of a dead one's lock. */
export function holderOf(file) {
  let text;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return {};
  }
  const [pid, started] = text.trim().split(' ');
  const alive = isAlive(Number(pid)) && (started === undefined || started === startOf(pid));
  return alive ? { text, pid: Number(pid) } : { text };
}

function releaseLock(file, mine) {
  try {
    if (readFileSync(file, 'utf8') === mine) unlinkSync(file);
  } catch {
    // gone already
  }
}

/** Two runs may find the same dead lock: whoever moved away a living one puts it back. */
function removeStale(file, stale) {
  const aside = `${file}.stale-${randomBytes(4).toString('hex')}`;
  try {
    renameSync(file, aside);
    if (readFileSync(aside, 'utf8') !== stale) linkSync(aside, file);
  } catch {
    // another run was faster
  } finally {
    rmSync(aside, { force: true });
  }
}

function isAlive(pid) {
  if (!Number.isInteger(pid) || pid < 2) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** When the process started, in the kernel's ticks; '-' where /proc does not tell. */
function startOf(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // A zombie only waits for its parent to take note: it holds nothing any more.
    return fields[0] === 'Z' ? 'gone' : fields[19];
  } catch {
    return '-';
  }
}
