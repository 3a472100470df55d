import type { Head } from './chain.ts';
import { headEntry, parseHeadEntry } from './checkpoint.ts';
import { leafHash, nodeHash } from './merkle.ts';

/**
 * One stretch of a log of heads as an export carries it: an entry, or the root of a complete subtree of entries that are
 * none of its reader's business (2^n of them, aligned). The root of the whole log follows from either.
 */
export type LogPart = { readonly head: Head } | { readonly size: number; readonly node: Buffer };

/** Leaves out of a log what nobody asked for, holding no more than the roots of what is left out. */
export class LogPruner {
  /** Left out so far and not yet given out: complete subtrees, the largest first. */
  #left: { size: number; node: Buffer }[] = [];
  #index = 0;

  /** The next entry; answers with what can be given out for it. */
  next(head: Head, wanted: boolean): LogPart[] {
    const at = this.#index;
    this.#index += 1;
    // What lies left of a wanted entry shares no complete subtree with anything right of it.
    if (wanted) return [...this.end(), { head }];
    let part = { size: 1, node: leafHash(headEntry(head)) };
    for (let start = at; ; ) {
      const before = this.#left.at(-1);
      if (before === undefined || before.size !== part.size) break;
      start -= before.size;
      if (start % (2 * part.size) !== 0) break;
      this.#left.pop();
      part = { size: 2 * part.size, node: nodeHash(before.node, part.node) };
    }
    this.#left.push(part);
    return [];
  }

  /** What was left out since. */
  end(): LogPart[] {
    const parts = this.#left;
    this.#left = [];
    return parts;
  }
}

/** Puts the root together again; parts come in the order of the log. */
export class LogReader {
  #size = 0;
  readonly #left: { size: number; node: Buffer }[] = [];

  get size(): number {
    return this.#size;
  }

  /** @returns false for a part that cannot be at this place */
  append(part: LogPart): boolean {
    let added = 'head' in part ? { size: 1, node: leafHash(headEntry(part.head)) } : part;
    const { size } = added;
    if (!Number.isSafeInteger(size) || size < 1 || !isPowerOfTwo(size) || this.#size % size !== 0)
      return false;
    this.#size += size;
    for (;;) {
      const before = this.#left.at(-1);
      if (before === undefined || before.size !== added.size) break;
      this.#left.pop();
      added = { size: 2 * added.size, node: nodeHash(before.node, added.node) };
    }
    this.#left.push(added);
    return true;
  }

  /** Of everything so far; undefined of nothing. */
  root(): Buffer | undefined {
    const last = this.#left.at(-1);
    if (last === undefined) return undefined;
    return this.#left.slice(0, -1).reduceRight((right, { node }) => nodeHash(node, right), last.node);
  }
}

const isPowerOfTwo = (size: number) => size === 2 ** Math.round(Math.log2(size));

/** A part as text, one line: an entry as the log has it, or `<size> <hash in hex>`. */
export function logPartText(part: LogPart): string {
  return 'head' in part
    ? headEntry(part.head).toString().trimEnd()
    : `${part.size} ${part.node.toString('hex')}`;
}

/** Reads it back. @throws NoteError */
export function parseLogPart(text: string): LogPart {
  const [, size, node = ''] = /^([1-9][0-9]{0,15}) ([0-9a-f]{64})$/.exec(text) ?? [];
  if (size !== undefined) return { size: Number(size), node: Buffer.from(node, 'hex') };
  return { head: parseHeadEntry(`${text}\n`) };
}
