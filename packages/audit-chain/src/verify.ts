import { type Content, contentHash, genesis, type Head, nextHead } from './chain.ts';
import { type Checkpoint, headEntry } from './checkpoint.ts';
import { GrowingTree } from './merkle.ts';

/** A record as it was stored or exported. */
export interface StoredRecord {
  readonly sequence: number;
  /** When it was recorded; milliseconds count. */
  readonly recorded_at: Date;
  readonly content: Content;
  readonly hash: Buffer;
}

/** What is wrong, and where it first is. */
export interface ChainFault {
  readonly chain: string;
  /** Sequence of the first bad record; for a cut tail the first that is missing. */
  readonly sequence: number;
  readonly cause: 'changed' | 'missing' | 'out_of_place' | 'repeated' | 'cut_tail' | 'not_in_checkpoint';
}

/**
 * Follows one chain record by record, in the order of their sequence, holding nothing but its head. Begin at
 * `genesis(chain)`, or at the root that a dropped partition left behind.
 */
export class ChainFollower {
  #head: Head;
  #fault: ChainFault | undefined;
  /** Heads that a checkpoint vouches for, by sequence. */
  readonly #vouched: ReadonlyMap<number, Buffer>;
  readonly #until: number;

  constructor(start: Head, vouched: readonly Head[] = []) {
    this.#head = start;
    this.#vouched = new Map(vouched.map(({ sequence, hash }) => [sequence, hash]));
    // Not Math.max(...): a chain may have more heads than a call takes arguments.
    this.#until = vouched.reduce((until, { sequence }) => Math.max(until, sequence), 0);
  }

  get fault(): ChainFault | undefined {
    return this.#fault;
  }

  get head(): Head {
    return this.#head;
  }

  /** The next record; false once something is wrong, and from then on nothing more is looked at. */
  next(record: StoredRecord): boolean {
    if (this.#fault !== undefined) return false;
    return this.#step(record, contentHash(record.content));
  }

  /** A record of which nothing was handed over but its place, its time and the hash of its content. */
  skip(record: Pick<StoredRecord, 'sequence' | 'recorded_at'>, content: Uint8Array): boolean {
    return this.#fault === undefined && this.#step(record, content);
  }

  #step(
    record: Pick<StoredRecord, 'sequence' | 'recorded_at'> & { hash?: Buffer },
    content: Uint8Array,
  ): boolean {
    const wanted = this.#head.sequence + 1;
    if (record.sequence !== wanted)
      return this.#wrong(wanted, record.sequence < wanted ? 'repeated' : 'missing');
    const head = nextHead(this.#head, content, record.recorded_at.getTime());
    if (record.hash !== undefined && !head.hash.equals(record.hash)) return this.#wrong(wanted, 'changed');
    const vouched = this.#vouched.get(wanted);
    // The chain is whole in itself, but not the one that was vouched for: rewritten from somewhere on.
    if (vouched !== undefined && !vouched.equals(head.hash)) return this.#wrong(wanted, 'not_in_checkpoint');
    this.#head = head;
    return true;
  }

  /** After the last record: whether the chain is as long as a checkpoint says. */
  end(): ChainFault | undefined {
    if (this.#fault === undefined && this.#head.sequence < this.#until)
      this.#wrong(this.#head.sequence + 1, 'cut_tail');
    return this.#fault;
  }

  #wrong(sequence: number, cause: ChainFault['cause']): false {
    this.#fault = { chain: this.#head.chain, sequence, cause };
    return false;
  }
}

/** A chain from its beginning. */
export const followChain = (chain: string, vouched: readonly Head[] = []): ChainFollower =>
  new ChainFollower(genesis(chain), vouched);

/**
 * Whether the heads, in their order, are the log that the checkpoint signs; more heads than it counts are not looked at.
 * @returns undefined when they are; otherwise why not
 */
export function headsFault(
  heads: Iterable<Head>,
  checkpoint: Checkpoint,
): 'too_short' | 'changed' | undefined {
  const tree = new GrowingTree();
  for (const head of heads) {
    if (tree.size === checkpoint.size) break;
    tree.append(headEntry(head));
  }
  if (tree.size < checkpoint.size) return 'too_short';
  return tree.root().equals(checkpoint.root) ? undefined : 'changed';
}
