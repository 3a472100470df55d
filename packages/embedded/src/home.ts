import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EmbeddedError, reasonOf } from './embedded-error.ts';
import { removeOutsideData } from './postgres-folder.ts';

/** Makes the folder a server lives in. As root others may pass through it (Postgres runs as another account). */
export function makeHome(home: string): void {
  try {
    mkdirSync(home, { recursive: true, mode: 0o700 });
    chmodSync(home, process.getuid?.() === 0 ? 0o711 : 0o700);
  } catch (error) {
    throw new EmbeddedError(`cannot write to ${home}: ${reasonOf(error)}; choose a folder you may write to`);
  }
}

/** A fresh folder under the system's temporary folder, and the way to remove it once its servers have stopped. */
export function temporaryHome(prefix = 'gatehouse-'): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), prefix));
  makeHome(path);
  return {
    path,
    remove() {
      removeOutsideData(path);
      rmSync(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
    },
  };
}
