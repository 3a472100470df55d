import { type FileHandle, lstat, open, readFile, rename, rm } from 'node:fs/promises';
import { Fault } from '../fault.ts';
import { refuseExisting, writeSecretFile } from '../secret-file.ts';

/** What must be known to go on with an export. */
export interface Unfinished {
  /** The question, as it was asked. */
  readonly query: Readonly<Record<string, string>>;
  readonly cursor: string;
}

/** Where a file of an export was cut off: how much of it is whole, and the place of its last record. */
export interface Cut {
  readonly bytes: number;
  /** `<chain>:<sequence>`; undefined when no record has come yet. */
  readonly after: string | undefined;
  /** Lines until there. */
  readonly lines: number;
}

const partialOf = (path: string) => `${path}.partial`;
const noteOf = (path: string) => `${path}.partial.json`;

/** Refuses to begin where something is. @throws Fault */
export async function refuseTaken(path: string, force: boolean): Promise<void> {
  if (!force) await refuseExisting(path);
  if (force || (await lstat(partialOf(path)).catch(() => undefined)) === undefined) return;
  throw new Fault(
    `an export to ${path} was broken off: go on with it by --resume, or begin anew with --force`,
  );
}

/** The file that grows until the export is complete, mode 0600. */
export async function openPartial(path: string, from: number): Promise<FileHandle> {
  const file = await open(partialOf(path), from === 0 ? 'w' : 'r+', 0o600);
  await file.chmod(0o600);
  await file.truncate(from);
  return file;
}

/** Keeps what is needed to go on. */
export const keepUnfinished = (path: string, unfinished: Unfinished): Promise<void> =>
  writeSecretFile(noteOf(path), JSON.stringify(unfinished), true);

/** Reads it back. @throws Fault when nothing was broken off there */
export async function readUnfinished(path: string): Promise<Unfinished> {
  try {
    return JSON.parse(await readFile(noteOf(path), 'utf8')) as Unfinished;
  } catch {
    throw new Fault(`there is no export to ${path} to go on with`);
  }
}

/** Gives the complete file its name. */
export async function finish(path: string): Promise<void> {
  await rename(partialOf(path), path);
  await rm(noteOf(path), { force: true });
}

const STEP_BYTES = 1024 * 1024;

/** Where to go on: after the last line of a record that arrived whole. */
export async function cutOf(path: string, format: string): Promise<Cut> {
  const file = await open(partialOf(path), 'r').catch(() => undefined);
  if (file === undefined) return { bytes: 0, after: undefined, lines: 0 };
  try {
    const { size } = await file.stat();
    for (let length = STEP_BYTES; ; length *= 2) {
      const from = Math.max(0, size - length);
      const buffer = Buffer.alloc(size - from);
      await file.read(buffer, 0, buffer.length, from);
      const found = lastPlace(buffer, format, from === 0);
      if (found !== undefined)
        return {
          bytes: from + found.bytes,
          after: found.after,
          lines: await linesIn(file, from + found.bytes),
        };
      if (from === 0) return { bytes: 0, after: undefined, lines: 0 };
    }
  } finally {
    await file.close();
  }
}

function lastPlace(
  tail: Buffer,
  format: string,
  isWhole: boolean,
): { bytes: number; after: string } | undefined {
  for (let end = tail.lastIndexOf(10); end >= 0; end = end === 0 ? -1 : tail.lastIndexOf(10, end - 1)) {
    const begin = end === 0 ? 0 : tail.lastIndexOf(10, end - 1) + 1;
    // The first line of a piece of the file may be the end of one.
    if (begin === 0 && !isWhole) return undefined;
    const line = tail.subarray(begin, end).toString();
    const after = placeOf(line, format);
    if (after === undefined) continue;
    // A document goes on with a comma, which belongs to what follows.
    const bytes = format === 'json' ? begin + Buffer.byteLength(line.replace(/,$/, '')) : end + 1;
    return { bytes, after };
  }
  return undefined;
}

/** Chain and sequence of a line of an export; undefined when it is not of a record. */
export function placeOf(line: string, format: string): string | undefined {
  if (format === 'csv') {
    const [chain, sequence = ''] = line.split(',', 2);
    return /^[0-9]+$/.test(sequence) ? `${chain}:${sequence}` : undefined;
  }
  try {
    const { chain, sequence, until, unmapped } = JSON.parse(line.trim().replace(/,$/, ''));
    const place = unmapped ?? { chain, sequence: until ?? sequence };
    return place.chain === undefined ? undefined : `${place.chain}:${place.sequence}`;
  } catch {
    return undefined;
  }
}

async function linesIn(file: FileHandle, bytes: number): Promise<number> {
  let lines = 0;
  const buffer = Buffer.alloc(STEP_BYTES);
  for (let at = 0; at < bytes; ) {
    const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, bytes - at), at);
    if (bytesRead === 0) break;
    lines += countLines(buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
  return lines;
}

/** Line feeds in a piece of a file. */
export function countLines(piece: Uint8Array): number {
  let count = 0;
  for (let at = piece.indexOf(10); at >= 0; at = piece.indexOf(10, at + 1)) count += 1;
  return count;
}
