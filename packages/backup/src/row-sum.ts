import { hash } from 'node:crypto';

const NEWLINE = 0x0a;
const LANES = 8;

/** How many rows there were, and a sum of them that does not depend on their order. */
export interface RowSum {
  readonly rows: number;
  /** 64 hexadecimal digits. */
  readonly sum: string;
}

/**
 * Counts and sums the rows of COPY's text format: one line a row, because line breaks within values are escaped. The
 * SHA-256 of each row is added up lane by lane, so that a table read back in another order has the same sum. It tells
 * that what was loaded is what was saved; the order and the file itself are held by SHA-256 over the bytes.
 */
export class RowSummer {
  readonly #lanes = new Uint32Array(LANES);
  #rows = 0;
  /** The beginning of a row whose end has not come yet. */
  #open: Buffer[] = [];

  add(chunk: Buffer): void {
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
      const rest = chunk.subarray(from, end);
      this.#take(this.#open.length === 0 ? rest : Buffer.concat([...this.#open, rest]));
      if (this.#open.length > 0) this.#open = [];
      from = end + 1;
    }
    // Copied: the chunk may be a view of a buffer that is used again.
    if (from < chunk.length) this.#open.push(Buffer.from(chunk.subarray(from)));
  }

  /** Whole rows so far. */
  get count(): number {
    return this.#rows;
  }

  /** @throws Error when the last row has no end */
  result(): RowSum {
    if (this.#open.length > 0) throw new Error('the last row has no end');
    const bytes = Buffer.alloc(LANES * 4);
    for (let lane = 0; lane < LANES; lane += 1) bytes.writeUInt32LE(this.#lanes[lane] ?? 0, lane * 4);
    return { rows: this.#rows, sum: bytes.toString('hex') };
  }

  #take(row: Buffer): void {
    const digest = hash('sha256', row, 'buffer');
    for (let lane = 0; lane < LANES; lane += 1)
      this.#lanes[lane] = (this.#lanes[lane] ?? 0) + digest.readUInt32LE(lane * 4);
    this.#rows += 1;
  }
}
