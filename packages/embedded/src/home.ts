import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { EmbeddedError, reasonOf } from './embedded-error.ts';
import { removeOutsideData } from './postgres-folder.ts';

/** Makes the folder a server lives in. As root others may pass through it (Postgres runs as another account). */
export function makeHome(home: string): void {
  try {
    makeFolder(home);
    chmodSync(home, process.getuid?.() === 0 ? 0o711 : 0o700);
  } catch (error) {
    throw new EmbeddedError(`cannot write to ${home}: ${reasonOf(error)}; choose a folder you may write to`);
  }
}

/** Not mkdir's `recursive`: Node 24 never comes back from it where the system lets nobody make anything (/proc). */
function makeFolder(path: string): void {
  if (existsSync(path)) return;
  if (dirname(path) !== path) makeFolder(dirname(path));
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/**
 * A fresh folder under the system's temporary folder, unless another is given, and the way to remove it once its servers
 * have stopped.
 */
export function temporaryHome(
  prefix = 'gatehouse-',
  parent: string = tmpdir(),
): { path: string; remove(): void } {
  const path = mkdtempSync(join(parent, prefix));
  makeHome(path);
  return {
    path,
    remove() {
      removeOutsideData(path);
      rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
    },
  };
}
