import { createHash } from 'node:crypto';

const LEAF = Buffer.of(0);
const NODE = Buffer.of(1);

const sha256 = (...parts: readonly Uint8Array[]): Buffer => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** Hash of a leaf (RFC 6962 §2.1). */
export const leafHash = (entry: Uint8Array): Buffer => sha256(LEAF, entry);

/** Hash of a node above two (RFC 6962 §2.1). */
export const nodeHash = (left: Uint8Array, right: Uint8Array): Buffer => sha256(NODE, left, right);

/**
 * A Merkle tree (RFC 6962) that only grows: it holds the roots of its complete subtrees, at most 64 hashes, and never
 * its leaves. `state` is what must be kept to go on later.
 */
export class GrowingTree {
  #size: number;
  /** Roots of the complete subtrees, the largest first: one a set bit of the size. */
  readonly #roots: Buffer[];

  constructor(
    state: { readonly size: number; readonly roots: readonly Uint8Array[] } = { size: 0, roots: [] },
  ) {
    this.#size = state.size;
    this.#roots = state.roots.map((root) => Buffer.from(root));
    if (this.#roots.length !== popCount(state.size))
      throw new Error('the state of the tree is not one of its size');
  }

  get size(): number {
    return this.#size;
  }

  get state(): { readonly size: number; readonly roots: readonly Buffer[] } {
    return { size: this.#size, roots: [...this.#roots] };
  }

  append(entry: Uint8Array): void {
    let hash = leafHash(entry);
    for (let size = this.#size; size % 2 === 1; size = Math.floor(size / 2)) {
      hash = sha256(NODE, this.#roots.pop() as Buffer, hash);
    }
    this.#roots.push(hash);
    this.#size += 1;
  }

  /** The root hash (RFC 6962 §2.1); of an empty tree SHA-256 of nothing. */
  root(): Buffer {
    const last = this.#roots.at(-1);
    if (last === undefined) return sha256();
    return this.#roots.slice(0, -1).reduceRight((right, left) => sha256(NODE, left, right), last);
  }
}

function popCount(size: number): number {
  let count = 0;
  for (let rest = size; rest > 0; rest = Math.floor(rest / 2)) count += rest % 2;
  return count;
}
