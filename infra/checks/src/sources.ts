import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The checkout. */
export const root = join(import.meta.dirname, '../../..');

/** A file of the repository. */
export interface Source {
  /** From the root, with slashes. */
  readonly path: string;
  readonly text: string;
}

/** Files that git knows or would take: nothing generated, nothing installed. */
export function repositoryFiles(): string[] {
  return execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    encoding: 'utf8',
    maxBuffer: 16 * 1024 * 1024,
  })
    .split('\n')
    .filter((path) => path !== '' && existsSync(join(root, path)));
}

/** What runs in production: the code of packages and services, without tests and what only tests use. */
export function productionSources(): Source[] {
  return repositoryFiles()
    .filter((path) => /^(?:packages|services)\/.*\.(?:ts|mjs)$/.test(path))
    .filter((path) => !/\.test\.ts$|testing\.ts$|\/test-[a-z-]+\.ts$/.test(path))
    .map((path) => ({ path, text: withoutComments(readFileSync(join(root, path), 'utf8')) }));
}

/** A comment is no use of what it names. Strings that hold two slashes after a colon (URLs) are kept. */
function withoutComments(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|[^:'"`\\])\/\/.*$/gm, '$1');
}

/** A package.json of the workspace. */
export interface Manifest {
  readonly path: string;
  readonly name: string;
  readonly dependencies: readonly string[];
}

/** Every package.json with its direct dependencies of any kind. */
export function manifests(): Manifest[] {
  return repositoryFiles()
    .filter((path) => /(?:^|\/)package\.json$/.test(path))
    .map((path) => {
      const json = JSON.parse(readFileSync(join(root, path), 'utf8')) as Record<string, unknown>;
      const of = (kind: string) => Object.keys((json[kind] as Record<string, string> | undefined) ?? {});
      return {
        path,
        name: String(json.name),
        dependencies: [...of('dependencies'), ...of('devDependencies'), ...of('optionalDependencies')],
      };
    });
}

/** The texts of all sources in a folder, tests and programs included. */
export function sourcesBelow(folder: string): string[] {
  const prefix = folder === '' ? '' : `${folder}/`;
  return repositoryFiles()
    .filter((path) => path.startsWith(prefix) && /\.(?:ts|mjs)$/.test(path))
    .map((path) => readFileSync(join(root, path), 'utf8'));
}
