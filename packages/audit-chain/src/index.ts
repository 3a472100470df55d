export { canonicalJson } from './canonical.ts';
export { type Content, contentHash, genesis, type Head, nextHead, personalDigest } from './chain.ts';
export { type Checkpoint, headEntry, openCheckpoint, parseHeadEntry, signCheckpoint } from './checkpoint.ts';
export { GrowingTree, leafHash } from './merkle.ts';
export {
  NoteError,
  type NoteSigner,
  type NoteVerifier,
  notesIn,
  openNote,
  parseVerifierKey,
  signNote,
  verifierKeyOf,
} from './note.ts';
export { type LogPart, LogPruner, LogReader, logPartText, parseLogPart } from './pruned-log.ts';
export { type ChainFault, ChainFollower, followChain, headsFault, type StoredRecord } from './verify.ts';
