import type { Head } from './chain.ts';
import { NoteError, type NoteSigner, type NoteVerifier, openNote, signNote } from './note.ts';

/**
 * A signed statement about all chains at one moment (C2SP tlog-checkpoint): origin, size and root of the Merkle log
 * whose entries are chain heads, in the order in which they were noted; then extension lines of our own.
 */
export interface Checkpoint {
  /** Which log: the installation. */
  readonly origin: string;
  /** Entries in the log of heads. */
  readonly size: number;
  readonly root: Buffer;
  /** Seconds since 1970 when it was signed. */
  readonly time: number;
}

/** One entry of the log of heads, as bytes. */
export function headEntry({ chain, sequence, hash }: Head): Buffer {
  return Buffer.from(`${chain} ${sequence} ${hash.toString('hex')}\n`);
}

/** Reads an entry back. @throws NoteError */
export function parseHeadEntry(entry: string): Head {
  const match = /^(\S+) ([1-9][0-9]{0,15}) ([0-9a-f]{64})\n$/.exec(entry);
  const [, chain = '', sequence = '', hash = ''] = match ?? [];
  if (match === null) throw new NoteError('not an entry of the log of heads');
  return { chain, sequence: Number(sequence), hash: Buffer.from(hash, 'hex') };
}

/** Signs a checkpoint. */
export function signCheckpoint({ origin, size, root, time }: Checkpoint, signer: NoteSigner): string {
  if (/[\n]/.test(origin) || origin === '') throw new NoteError('an origin is one line');
  return signNote(`${origin}\n${size}\n${root.toString('base64')}\ntime ${time}\n`, signer);
}

/** Opens a checkpoint that one of the keys signed. @throws NoteError */
export function openCheckpoint(note: string, verifiers: readonly NoteVerifier[]): Checkpoint {
  const [origin = '', size = '', root = '', ...extensions] = openNote(note, verifiers)
    .slice(0, -1)
    .split('\n');
  const time = extensions.map((line) => /^time ([0-9]{1,12})$/.exec(line)?.[1]).find(Boolean);
  const bytes = Buffer.from(root, 'base64');
  if (!/^(0|[1-9][0-9]{0,15})$/.test(size) || bytes.length !== 32) throw new NoteError('not a checkpoint');
  return { origin, size: Number(size), root: bytes, time: Number(time ?? 0) };
}
