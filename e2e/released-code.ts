import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { repositoryRoot } from '@gatehouse/embedded';

/** A landed release: what upgrades are tested from (CONTRIBUTING.md says when a line is added). */
export interface Release {
  readonly commit: string;
  /** The newest migration that it knows. */
  readonly newest: string;
}

/** The releases on record, the oldest first. */
export function releases(): readonly Release[] {
  return JSON.parse(readFileSync(join(repositoryRoot, 'packages/schema/upgrade/released.json'), 'utf8'));
}

/** The code of a release, ready to start, or why it is not to be had, with the remedy. */
export type ReleasedCode = { readonly root: string } | { readonly missing: string };

/**
 * Takes a release out of git into a folder of its own, with the dependencies of its own lockfile. Kept for the next run:
 * a commit never changes.
 */
export function releasedCode({ commit }: Release): ReleasedCode {
  const root = join(repositoryRoot, '.local/releases', commit);
  if (existsSync(root)) return { root };
  const short = commit.slice(0, 12);
  if (ran('git', ['cat-file', '-e', `${commit}^{commit}`]).status !== 0)
    return {
      missing: `commit ${short} is not in this checkout: fetch the whole history (git fetch --unshallow)`,
    };
  mkdirSync(join(repositoryRoot, '.local/releases'), { recursive: true });
  const made = mkdtempSync(join(repositoryRoot, '.local/releases/making-'));
  try {
    const missing = unpack(commit, made) ?? install(made);
    if (missing !== undefined) return { missing };
    // Another run may have been faster; what it made is the same.
    if (!existsSync(root)) renameSync(made, root);
    return { root };
  } finally {
    rmSync(made, { recursive: true, force: true });
  }
}

const ARCHIVE_MAX_BYTES = 256 * 1024 * 1024;

function unpack(commit: string, folder: string): string | undefined {
  const archive = spawnSync('git', ['archive', '--format=tar', commit], {
    cwd: repositoryRoot,
    maxBuffer: ARCHIVE_MAX_BYTES,
  });
  const unpacked = spawnSync('tar', ['-x', '-C', folder], { input: archive.stdout });
  return archive.status === 0 && unpacked.status === 0
    ? undefined
    : 'git archive or tar failed: install both';
}

/** From the store of this checkout, and over the network what is not in it. */
function install(folder: string): string | undefined {
  const { status } = ran(
    join(repositoryRoot, '.local/bin/pnpm'),
    [
      ...['install', '--prod', '--frozen-lockfile', '--prefer-offline', '--ignore-scripts'],
      ...['--filter', '{./services/*}...', '--store-dir', join(repositoryRoot, '.local/store')],
    ],
    folder,
  );
  return status === 0
    ? undefined
    : 'its dependencies cannot be installed: connect to the package registry once';
}

const ran = (program: string, args: readonly string[], cwd = repositoryRoot) =>
  spawnSync(program, [...args], { cwd, stdio: 'ignore', env: { ...process.env, CI: 'true' } });
