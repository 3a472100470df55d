import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmdirSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A disk of its own that a test may fill: a tmpfs, which needs root on Linux. */
export interface SmallDisk {
  readonly path: string;
  /** Takes all room that is left. */
  fill(): void;
  /** Gives back what `fill` took, and more room than a healthy installation asks for. */
  makeRoom(): void;
  remove(): void;
}

const MEGABYTE = 1024 * 1024;
/** Nominal: it takes no memory before something is written. */
const ROOMY = 'remount,size=4g';

/** Makes one; undefined where nobody may mount. */
export function smallDisk(megabytes: number): SmallDisk | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return undefined;
  const path = mkdtempSync(join(tmpdir(), 'gatehouse-disk-'));
  const options = `size=${megabytes}m,mode=0755`;
  if (!ran('mount', ['-t', 'tmpfs', '-o', options, 'gatehouse-test', path])) {
    rmdirSync(path);
    return undefined;
  }
  let mounted = true;
  const remove = () => {
    if (!mounted) return;
    mounted = false;
    // Lazily: whoever still has a file open there does not keep it.
    ran('umount', ['-l', path]);
    rmdirSync(path);
  };
  process.on('exit', remove);
  const filler = join(path, 'filler');
  return {
    path,
    fill: () => fillWith(filler),
    makeRoom() {
      rmSync(filler, { force: true });
      if (!ran('mount', ['-o', ROOMY, path])) throw new Error('the disk cannot be made larger');
    },
    remove,
  };
}

/** In ever smaller pieces, so that not a page is left. */
function fillWith(file: string): void {
  const fd = openSync(file, 'a');
  try {
    for (const size of [MEGABYTE, 4_096, 1]) while (took(fd, size));
  } finally {
    closeSync(fd);
  }
}

function took(fd: number, size: number): boolean {
  try {
    return writeSync(fd, Buffer.alloc(size)) === size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return false;
    throw error;
  }
}

const ran = (command: string, args: readonly string[]): boolean => spawnSync(command, args).status === 0;
