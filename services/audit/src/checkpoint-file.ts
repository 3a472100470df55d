import { open } from 'node:fs/promises';
import { type Checkpoint, NoteError, notesIn, openCheckpoint } from '@gatehouse/audit-chain';
import type { CheckpointKey } from './checkpoint-key.ts';

/** Hundreds of notes: the newest of ours is among them unless many other logs write into one file. */
const TAIL_BYTES = 65_536;
const LINE_FEED = 0x0a;

/** A note of the file, and what it says. */
export interface KeptCheckpoint {
  readonly note: string;
  readonly checkpoint: Checkpoint;
}

/** The newest checkpoint of a file that our key signed; undefined when there is none, or no file. */
export async function newestKept(path: string, key: CheckpointKey): Promise<KeptCheckpoint | undefined> {
  const tail = await tailOf(path);
  for (const note of notesIn(tail).toReversed()) {
    try {
      const checkpoint = openCheckpoint(note, [key.verifier]);
      if (checkpoint.origin === key.signer.name) return { note, checkpoint };
    } catch (error) {
      // Of another log, or torn off by a power cut.
      if (!(error instanceof NoteError)) throw error;
    }
  }
  return undefined;
}

async function tailOf(path: string): Promise<string> {
  try {
    const file = await open(path, 'r');
    try {
      const { size } = await file.stat();
      const length = Math.min(size, TAIL_BYTES);
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
      return buffer.subarray(0, bytesRead).toString();
    } finally {
      await file.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}

/** Adds a note at the end of a file, below an empty line, and waits until it is on the disk. */
export async function appendNote(path: string, note: string): Promise<void> {
  const file = await open(path, 'a+', 0o644);
  try {
    const { size } = await file.stat();
    const last = Buffer.alloc(1);
    if (size > 0) await file.read(last, 0, 1, size - 1);
    // What was torn off must not run into the next note.
    const gap = size === 0 ? '' : last[0] === LINE_FEED ? '\n' : '\n\n';
    await file.appendFile(gap + note);
    await file.sync();
  } finally {
    await file.close();
  }
}
