import { readFile } from 'node:fs/promises';
import {
  type Checkpoint,
  NoteError,
  type NoteVerifier,
  notesIn,
  openCheckpoint,
} from '@gatehouse/audit-chain';
import { Fault } from '../fault.ts';

/**
 * The checkpoints of a file that the key signed; notes of other logs in it are passed over.
 * @throws Fault when there is none: then the file proves nothing
 */
export async function keptCheckpoints(path: string, verifier: NoteVerifier): Promise<Checkpoint[]> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new Fault(`${path} cannot be read (${error.code ?? 'failed'})`, 2);
  });
  const kept = notesIn(text).flatMap((note) => {
    try {
      return [openCheckpoint(note, [verifier])];
    } catch (error) {
      // Of another log, or torn off by a power cut.
      if (!(error instanceof NoteError)) throw error;
      return [];
    }
  });
  if (kept.length === 0)
    throw new Fault(
      `${path} holds no checkpoint that the key ${verifier.name} signed: is it the right file, the right key?`,
    );
  return kept;
}

/** How many entries of the log of heads the newest of them counts. */
export const newestSize = (kept: readonly Checkpoint[]): number =>
  kept.reduce((size, one) => Math.max(size, one.size), 0);
