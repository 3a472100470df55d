import { BackupFault } from './backup-fault.ts';

/**
 * The little of POSIX ustar that a backup needs: plain files with short names. Chosen so that a backup opens without
 * Gatehouse: `age --decrypt … | zstd --decompress | tar --extract`.
 */

const BLOCK_BYTES = 512;
const NAME_BYTES_MAX = 100;
/** Twelve octal digits less the terminator. */
const SIZE_MAX = 0o77777777777;

/** The header of one file, to be followed by its content and {@link padding}. */
export function tarHeader(name: string, bytes: number, modifiedSeconds: number): Buffer {
  if (Buffer.byteLength(name) > NAME_BYTES_MAX) throw new Error(`the name ${name} is too long for ustar`);
  if (bytes > SIZE_MAX) throw new Error(`${name} is too large for ustar`);
  const header = Buffer.alloc(BLOCK_BYTES);
  const octal = (value: number, digits: number) => `${value.toString(8).padStart(digits, '0')}\0`;
  header.write(name, 0, 'utf8');
  header.write(octal(0o600, 7), 100);
  header.write(octal(0, 7), 108);
  header.write(octal(0, 7), 116);
  header.write(octal(bytes, 11), 124);
  header.write(octal(modifiedSeconds, 11), 136);
  header.write('0', 156);
  header.write('ustar\u000000', 257, 'latin1');
  header.write(`${checksum(header).toString(8).padStart(6, '0')}\0 `, 148);
  return header;
}

/** What fills a content of so many bytes up to the next header. */
export const padding = (bytes: number): Buffer =>
  Buffer.alloc((BLOCK_BYTES - (bytes % BLOCK_BYTES)) % BLOCK_BYTES);

/** The end of an archive: two empty blocks. */
export const tarEnd = (): Buffer => Buffer.alloc(2 * BLOCK_BYTES);

/** One file of an archive, held whole: the writer keeps them small. */
export interface TarEntry {
  readonly name: string;
  readonly content: Buffer;
}

/**
 * The files of an archive in their order. Reads to the very end, so that what checks the layers below (decryption,
 * decompression) has seen every byte.
 * @throws BackupFault for what is not such an archive, is cut short, or holds a file above `entryBytesMax`
 */
export async function* readTar(
  source: AsyncIterable<Uint8Array>,
  entryBytesMax: number,
): AsyncGenerator<TarEntry> {
  const blocks = new ByteReader(source);
  for (;;) {
    const header = await blocks.read(BLOCK_BYTES);
    if (header.every((byte) => byte === 0)) break;
    const { name, bytes } = readHeader(header);
    if (bytes > entryBytesMax) throw damaged(`${name} is larger than any part of a backup`);
    const content = await blocks.read(bytes);
    await blocks.read(padding(bytes).length);
    yield { name, content };
  }
  await blocks.readZeros();
}

function readHeader(header: Buffer): { name: string; bytes: number } {
  const stored = Number.parseInt(header.toString('latin1', 148, 154), 8);
  if (header.toString('latin1', 257, 262) !== 'ustar' || stored !== checksum(header))
    throw damaged('a header in it is broken');
  const end = header.indexOf(0);
  const name = header.toString('utf8', 0, Math.min(end, NAME_BYTES_MAX));
  const bytes = Number.parseInt(header.toString('latin1', 124, 135), 8);
  if (header.toString('latin1', 156, 157) !== '0' || !Number.isSafeInteger(bytes))
    throw damaged(`it holds ${name}, which no backup holds`);
  return { name, bytes };
}

/** The sum of all bytes with the checksum itself as spaces. */
function checksum(header: Buffer): number {
  let sum = 8 * 0x20;
  for (let at = 0; at < BLOCK_BYTES; at += 1) if (at < 148 || at >= 156) sum += header[at] ?? 0;
  return sum;
}

export const damaged = (what: string) => new BackupFault(`the backup is damaged: ${what}`);

/** Bytes of a stream by the count. */
class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #kept: Uint8Array = Buffer.alloc(0);

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  async read(bytes: number): Promise<Buffer> {
    const taken = Buffer.alloc(bytes);
    for (let at = 0; at < bytes; ) {
      if (this.#kept.length === 0 && !(await this.#next())) throw damaged('it ends too early');
      const part = this.#kept.subarray(0, bytes - at);
      taken.set(part, at);
      at += part.length;
      this.#kept = this.#kept.subarray(part.length);
    }
    return taken;
  }

  /** To the end, where nothing but fill may be. */
  async readZeros(): Promise<void> {
    do {
      if (this.#kept.some((byte) => byte !== 0)) throw damaged('something follows its end');
    } while (await this.#next());
  }

  async #next(): Promise<boolean> {
    const { value, done } = await this.#source.next();
    this.#kept = done ? Buffer.alloc(0) : value;
    return !done;
  }
}
