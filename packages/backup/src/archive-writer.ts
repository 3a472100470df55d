import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { link, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { PassThrough } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ReadableStream } from 'node:stream/web';
import { constants, createZstdCompress } from 'node:zlib';
import { Encrypter } from 'age-encryption';
import { BackupFault } from './backup-fault.ts';
import { padding, tarEnd, tarHeader } from './tar.ts';

/** Takes the files of an archive, one after the other. Waits while the disk is slower than the database. */
export interface ArchiveWriter {
  write(name: string, content: Buffer): Promise<void>;
}

/** Where an archive goes and who may open it. */
export interface ArchiveTarget {
  readonly path: string;
  /** Empty: not encrypted. */
  readonly recipients: readonly string[];
  /** Takes the place of a file that is there already. */
  readonly force: boolean;
}

/**
 * Writes an archive: tar, compressed by zstd, encrypted by age, into a file of mode 0600 that gets its name only when it
 * is whole and on the disk. Returns how many bytes it has.
 * @throws BackupFault when the file cannot be written; then nothing is left of it
 */
export async function writeArchive(
  target: ArchiveTarget,
  fill: (archive: ArchiveWriter) => Promise<void>,
): Promise<number> {
  const aside = join(dirname(target.path), `.gatehouse-backup-${randomBytes(9).toString('base64url')}`);
  try {
    const bytes = await writeStreams(aside, target.recipients, fill);
    await nameIt(aside, target);
    return bytes;
  } catch (error) {
    throw explained(error, target.path);
  } finally {
    await rm(aside, { force: true });
  }
}

async function writeStreams(
  aside: string,
  recipients: readonly string[],
  fill: (archive: ArchiveWriter) => Promise<void>,
): Promise<number> {
  const tar = new PassThrough();
  const compressed = createZstdCompress({ params: { [constants.ZSTD_c_checksumFlag]: 1 } });
  const file = createWriteStream(aside, { flags: 'wx', mode: 0o600, flush: true });
  const writing = pipeline(tar, compressed, (plain) => sealed(plain, recipients), file);
  // Awaited below; a disk that fills up while `fill` waits for the database must not end the process.
  writing.catch(() => {});
  try {
    await fill(intoTar(tar));
    tar.end(tarEnd());
  } catch (error) {
    // The archive was closed because writing it failed: that is the reason.
    if (error instanceof Closed) await writing;
    tar.destroy(error as Error);
    await writing.catch(() => {});
    throw error;
  }
  await writing;
  return file.bytesWritten;
}

async function* sealed(
  plain: AsyncIterable<Uint8Array>,
  recipients: readonly string[],
): AsyncGenerator<Uint8Array> {
  if (recipients.length === 0) {
    yield* plain;
    return;
  }
  const encrypter = new Encrypter();
  for (const one of recipients) addRecipient(encrypter, one);
  yield* await encrypter.encrypt(ReadableStream.from(plain));
}

function addRecipient(encrypter: Encrypter, recipient: string): void {
  try {
    encrypter.addRecipient(recipient);
  } catch {
    throw new BackupFault(`${recipient.slice(0, 16)}… is no age recipient: one character of it may be wrong`);
  }
}

/** The archive takes nothing more, because writing it failed. */
class Closed extends Error {}

function intoTar(tar: PassThrough): ArchiveWriter {
  const put = async (bytes: Buffer): Promise<void> => {
    if (tar.destroyed) throw new Closed();
    if (bytes.length === 0 || tar.write(bytes)) return;
    const ended = new AbortController();
    try {
      const { signal } = ended;
      await Promise.race([
        once(tar, 'drain', { signal }),
        once(tar, 'close', { signal }).then(() => Promise.reject(new Closed())),
      ]);
    } catch {
      throw new Closed();
    } finally {
      ended.abort();
    }
  };
  const seconds = Math.floor(Date.now() / 1000);
  return {
    async write(name, content) {
      await put(tarHeader(name, content.length, seconds));
      await put(content);
      await put(padding(content.length));
    },
  };
}

async function nameIt(aside: string, { path, force }: ArchiveTarget): Promise<void> {
  // Unless forced, a name that is taken is refused in one step, so that of two backups at once one gets it.
  await (force ? rename(aside, path) : link(aside, path));
  await syncFolder(dirname(path));
}

/** A new name is on the disk only with its folder. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r').catch(() => undefined);
  // Some file systems let nobody sync a folder; the file itself is on the disk.
  await folder?.sync().catch(() => undefined);
  await folder?.close();
}

function explained(error: unknown, path: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'EEXIST')
    return new BackupFault(`${path} is there already: choose another file, or say --force`);
  if (code === 'ENOSPC' || code === 'EDQUOT') return new BackupFault(`there is no room left for ${path}`);
  if (code === 'ENOENT' || code === 'EACCES' || code === 'EROFS' || code === 'ENOTDIR' || code === 'EPERM')
    return new BackupFault(`${path} cannot be written (${code})`);
  return error;
}
