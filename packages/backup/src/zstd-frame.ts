import { damaged } from './tar.ts';

const MAGIC = [0x28, 0xb5, 0x2f, 0xfd];
const BLOCK_HEADER_BYTES = 3;
const CHECKSUM_BYTES = 4;
const RLE_BLOCK = 1;

/**
 * Passes on the bytes of zstd frames (RFC 8878 §3.1.1) and holds that the last is there to its last byte, each with its
 * checksum, and nothing else behind it. Node's decoder is content when all of the content has come out: cut within the
 * last bytes, a frame is whole to it. (Its encoder now and then adds an empty frame.)
 * @throws BackupFault when the bytes end within a frame, are none, or say that one has no checksum
 */
export async function* wholeFrames(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const frame = new FrameWalk();
  for await (const chunk of source) {
    frame.take(chunk);
    yield chunk;
  }
  frame.end();
}

type Part = 'start' | 'header' | 'block header' | 'block' | 'checksum';

/** Magic and descriptor. */
const START_BYTES = MAGIC.length + 1;

/** Walks over frames by their lengths, never looking into a block. */
class FrameWalk {
  #part: Part = 'start';
  /** Bytes of the part that are still to come. */
  #missing = START_BYTES;
  /** Those of a start or of a block's header that have come. */
  #seen: number[] = [];
  #isLast = false;
  #frames = 0;

  take(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length; ) {
      const bytes = Math.min(this.#missing, chunk.length - at);
      if (this.#part === 'start' || this.#part === 'block header')
        this.#seen.push(...chunk.subarray(at, at + bytes));
      at += bytes;
      this.#missing -= bytes;
      if (this.#missing === 0) this.#next();
    }
  }

  end(): void {
    const between = this.#part === 'start' && this.#seen.length === 0;
    if (!between || this.#frames === 0) throw damaged('it ends too early');
  }

  #next(): void {
    if (this.#part === 'start') this.#expect('header', headerBytes(this.#seen));
    else if (this.#part === 'header') this.#expect('block header', BLOCK_HEADER_BYTES);
    else if (this.#part === 'block header') this.#expect('block', this.#blockBytes());
    else if (this.#part === 'checksum') {
      this.#frames += 1;
      this.#expect('start', START_BYTES);
    } else if (this.#isLast) this.#expect('checksum', CHECKSUM_BYTES);
    else this.#expect('block header', BLOCK_HEADER_BYTES);
  }

  #expect(part: Part, bytes: number): void {
    this.#part = part;
    this.#missing = bytes;
    this.#seen = [];
    // A block, and a header behind its descriptor, may be empty.
    if (bytes === 0) this.#next();
  }

  #blockBytes(): number {
    const [low = 0, middle = 0, high = 0] = this.#seen;
    const header = low | (middle << 8) | (high << 16);
    this.#isLast = (header & 1) === 1;
    return ((header >> 1) & 3) === RLE_BLOCK ? 1 : header >> 3;
  }
}

/** What follows magic and descriptor of a frame before its first block. */
function headerBytes(start: readonly number[]): number {
  if (MAGIC.some((byte, at) => start[at] !== byte)) throw damaged('something follows its end');
  const descriptor = start[MAGIC.length] ?? 0;
  if ((descriptor & 4) === 0) throw damaged('its frame has no checksum');
  const isSingle = (descriptor & 32) !== 0;
  const window = isSingle ? 0 : 1;
  const dictionary = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const size = [isSingle ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  return window + dictionary + size;
}
