import { constants } from 'node:fs';
import { mkdir, open, readdir, realpath } from 'node:fs/promises';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { Fault } from '../fault.ts';
import { makePrivateFolder } from '../secret-file.ts';

/** One file of an nsc store as the API takes and gives it; its path has `/` between its parts. */
export interface NscFile {
  readonly path: string;
  readonly content: string;
}

const FILES_MAX = 50_000;
const DEPTH_MAX = 8;
const FILE_BYTES_MAX = 1024 * 1024;
const TOTAL_BYTES_MAX = 24 * 1024 * 1024;
/** What an import needs; creds, logs and whatever else lies there stay where they are. */
const wanted = /\.(jwt|nk)$/;

/**
 * Reads the JWTs and seeds of a folder. Symbolic links are left alone, so that nothing outside of it is read; how deep,
 * how many and how large is bounded.
 * @throws Fault
 */
export async function readNscFolder(folder: string, prefix: string): Promise<NscFile[]> {
  const root = await realpath(folder).catch(() => {
    throw new Fault(`${folder} cannot be read: is it the right folder?`, 2);
  });
  const files: NscFile[] = [];
  let total = 0;
  const walk = async (at: string, depth: number): Promise<void> => {
    if (depth > DEPTH_MAX) throw new Fault(`${at} lies too deep: is ${folder} an nsc folder?`, 2);
    const entries = await readdir(at, { withFileTypes: true });
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = join(at, entry.name);
      if (entry.isDirectory()) await walk(path, depth + 1);
      else if (entry.isFile() && wanted.test(entry.name)) {
        const content = await readBounded(path);
        total += content.length;
        if (files.length >= FILES_MAX || total > TOTAL_BYTES_MAX)
          throw new Fault(
            `${folder} holds more than ${FILES_MAX} files or 24 MiB: import one operator at a time`,
            2,
          );
        files.push({ path: [prefix, ...relative(root, path).split(sep)].join('/'), content });
      }
    }
  };
  await walk(root, 0);
  return files;
}

async function readBounded(path: string): Promise<string> {
  // Without following: between the look at the folder and this a link may have taken the file's place.
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const { size } = await file.stat();
    if (size > FILE_BYTES_MAX) throw new Fault(`${path} is larger than 1 MiB`, 2);
    return await file.readFile('utf8');
  } finally {
    await file.close();
  }
}

/**
 * Writes an export into a new folder: folders 0700, files 0600. Paths come from the server and are judged all the same:
 * one that leads out of the folder writes nothing at all.
 * @throws Fault
 */
export async function writeNscFolder(folder: string, files: readonly NscFile[]): Promise<void> {
  const root = resolve(folder);
  const targets = files.map(({ path, content }) => ({ target: within(root, path), content }));
  await makePrivateFolder(root);
  for (const { target, content } of targets) {
    await mkdir(dirname(target), { recursive: true, mode: 0o700 });
    const file = await open(target, 'wx', 0o600);
    try {
      await file.writeFile(content);
    } finally {
      await file.close();
    }
  }
}

function within(root: string, path: string): string {
  const parts = path.split('/');
  const bad = parts.some(
    (part) =>
      part === '' || part === '.' || part === '..' || /[\\\p{Cc}]/u.test(part) || /^[A-Za-z]:/.test(part),
  );
  const target = resolve(root, ...parts);
  if (bad || !target.startsWith(root + sep))
    throw new Fault(`the export holds a path that leads elsewhere: ${path}`);
  return target;
}
