import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { PassThrough } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ReadableStream } from 'node:stream/web';
import { createZstdDecompress } from 'node:zlib';
import { Decrypter } from 'age-encryption';
import { BackupFault } from './backup-fault.ts';
import { damaged, readTar, type TarEntry } from './tar.ts';
import { wholeFrames } from './zstd-frame.ts';

/** What can be in one file of an archive: the writer cuts tables into parts far below this. */
const ENTRY_BYTES_MAX = 512 * 1024 * 1024;
const READ_BYTES = 256 * 1024;
const AGE_MAGIC = 'age-encryption.org/v1\n';
const ZSTD_MAGIC = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);

/** Where an archive is and what opens it. */
export interface ArchiveSource {
  readonly path: string;
  /** `AGE-SECRET-KEY-…`; none are needed for one that is not encrypted. */
  readonly identities: readonly string[];
}

/**
 * The files of an archive in their order, in constant memory. When it ends without throwing, every byte has been read
 * and has passed the checks of age and zstd.
 * @throws BackupFault for a file that cannot be read, is no backup, is damaged, or is encrypted to somebody else
 */
export async function* readArchive({ path, identities }: ArchiveSource): AsyncGenerator<TarEntry> {
  const encrypted = await isEncrypted(path);
  if (encrypted && identities.length === 0)
    throw new BackupFault('the backup is encrypted: name the file with the private key by --identity');
  const tar = new PassThrough();
  const reading = pipeline(
    createReadStream(path, { highWaterMark: READ_BYTES }),
    (packed) => wholeFrames(encrypted ? opened(packed, identities) : packed),
    createZstdDecompress(),
    tar,
  );
  // Awaited below; what fails while nobody reads must not end the process.
  reading.catch(() => {});
  try {
    yield* readTar(tar, ENTRY_BYTES_MAX);
    await reading;
  } catch (error) {
    // A stream that broke is the reason for an archive that ends too early.
    const reason = await Promise.race([reading, nextTurn()]).then(
      () => error,
      (first: unknown) => first,
    );
    throw explained(reason, path);
  } finally {
    tar.destroy();
    await reading.catch(() => {});
  }
}

const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve));

async function isEncrypted(path: string): Promise<boolean> {
  const file = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    throw new BackupFault(`${path} cannot be read (${error.code ?? 'failed'})`);
  });
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(AGE_MAGIC.length), 0, AGE_MAGIC.length, 0);
    const start = buffer.subarray(0, bytesRead);
    if (start.toString('latin1') === AGE_MAGIC) return true;
    if (start.subarray(0, ZSTD_MAGIC.length).equals(ZSTD_MAGIC)) return false;
  } catch (error) {
    throw new BackupFault(`${path} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'failed'})`);
  } finally {
    await file.close();
  }
  throw new BackupFault(`${path} is not a backup of Gatehouse`);
}

async function* opened(
  sealed: AsyncIterable<Uint8Array>,
  identities: readonly string[],
): AsyncGenerator<Uint8Array> {
  const decrypter = new Decrypter();
  for (const one of identities) addIdentity(decrypter, one);
  yield* await decrypter.decrypt(ReadableStream.from(sealed));
}

function addIdentity(decrypter: Decrypter, identity: string): void {
  try {
    decrypter.addIdentity(identity);
  } catch {
    throw new BackupFault('the identity is not valid: one character of it may be wrong');
  }
}

function explained(error: unknown, path: string): unknown {
  if (error instanceof BackupFault) return error;
  const { code, message = '' } = error as NodeJS.ErrnoException;
  if (/no identity matched/i.test(message))
    return new BackupFault(`${path} is encrypted to another key than that of the identity`);
  if (/^(?:EIO|EACCES|EISDIR|ENOENT)$/.test(code ?? ''))
    return new BackupFault(`${path} cannot be read (${code})`);
  // What age and zstd say of bytes that are not what was written.
  return damaged('its bytes are not those that were written (changed, or cut short)');
}
