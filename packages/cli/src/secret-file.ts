import { randomBytes } from 'node:crypto';
import { constants, copyFile, link, lstat, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Fault } from './fault.ts';

/**
 * Writes a secret so that nobody else ever reads it and a kill leaves nothing half: into a new file of mode 0600 beside
 * it, which then takes its name.
 * @throws Fault when something is there already, unless `force`
 */
export async function writeSecretFile(path: string, content: string, force = false): Promise<void> {
  const aside = join(dirname(path), `.gatehouse-${randomBytes(9).toString('base64url')}`);
  try {
    const file = await open(aside, 'wx', 0o600);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    // rename() takes the place even of a link to elsewhere, and never writes through it.
    await (force ? rename(aside, path) : nameNew(aside, path));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') throw existing(path);
    throw new Fault(`${path} cannot be written (${code ?? 'failed'})`);
  } finally {
    await rm(aside, { force: true });
  }
}

/**
 * Refuses a name that is taken, before anything is made for it.
 * @throws Fault
 */
export async function refuseExisting(path: string): Promise<void> {
  const there = await lstat(path).catch(() => undefined);
  if (there !== undefined) throw existing(path);
}

const existing = (path: string) => new Fault(`${path} is there already: choose another file, or say --force`);

/** Gives the file its name; an existing name is refused, whatever it is. */
async function nameNew(aside: string, path: string): Promise<void> {
  try {
    await link(aside, path);
  } catch (error) {
    if (!noLinks.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
    await copyFile(aside, path, constants.COPYFILE_EXCL);
  }
}

/** What file systems without hard links (FAT, some network shares) say. */
const noLinks: ReadonlySet<string> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']);

/** Makes a folder that only its owner may look into. @throws Fault when it is there and holds something */
export async function makePrivateFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') throw new Fault(`${path} is there already: name a folder that does not exist yet`);
    throw new Fault(`${path} cannot be made (${code ?? 'failed'})`);
  }
}

let standardInputTaken = false;
const INPUT_BYTES_MAX = 1024 * 1024;

/** Reads a file, or standard input for `-`. Seeds, creds and claims come this way and never as an argument. */
export async function readInput(path: string): Promise<string> {
  if (path !== '-') return readTextFile(path);
  if (standardInputTaken)
    throw new Fault('standard input can be read once only: name files for the others', 2);
  standardInputTaken = true;
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of process.stdin) {
    chunks.push(chunk as Buffer);
    size += (chunk as Buffer).length;
    if (size > INPUT_BYTES_MAX) throw new Fault('standard input is larger than 1 MiB', 2);
  }
  return Buffer.concat(chunks).toString('utf8');
}

async function readTextFile(path: string): Promise<string> {
  try {
    const content = await readFile(path);
    if (content.length > INPUT_BYTES_MAX) throw new Fault(`${path} is larger than 1 MiB`, 2);
    return content.toString('utf8');
  } catch (error) {
    if (error instanceof Fault) throw error;
    throw new Fault(`${path} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'failed'})`, 2);
  }
}

/** A seed from a file or standard input: the one line of it that is a seed, as in `.nk` and `.creds` files. */
export async function readSeedFile(path: string): Promise<string> {
  const lines = (await readInput(path)).split('\n').map((line) => line.trim());
  const seed = lines.find((line) => /^S[OAUX][A-Z2-7]{56}$/.test(line));
  if (seed === undefined) throw new Fault(`${path === '-' ? 'standard input' : path} holds no seed`, 2);
  return seed;
}

/** A JWT from a file or standard input, bare or between dashes. */
export async function readJwtFile(path: string): Promise<string> {
  const jwt = /[\w-]+\.[\w-]+\.[\w-]+/.exec(await readInput(path))?.[0];
  if (jwt === undefined) throw new Fault(`${path === '-' ? 'standard input' : path} holds no JWT`, 2);
  return jwt;
}
