import { cpSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

interface Pattern {
  readonly matches: RegExp;
  readonly includes: boolean;
}

/** Reads a .dockerignore: what it says of a path, by its last line that matches the path or a folder above it. */
export function readIgnore(text: string): (path: string) => boolean {
  const patterns: Pattern[] = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => ({ includes: line.startsWith('!'), matches: globOf(line.replace(/^!?\/?/, '')) }));
  return (path) => {
    const parts = path.split('/');
    const ways = parts.map((_, index) => parts.slice(0, index + 1).join('/'));
    const last = patterns.findLast(({ matches }) => ways.some((way) => matches.test(way)));
    return last !== undefined && !last.includes;
  };
}

function globOf(glob: string): RegExp {
  const source = glob
    .replace(/[.+^$()|{}\\]/g, '\\$&')
    .replace(/\*\*\/|\*\*|\*|\?/g, (wild) => WILD[wild] ?? wild);
  return new RegExp(`^${source}$`);
}

const WILD: Readonly<Record<string, string>> = { '**/': '(?:.*/)?', '**': '.*', '*': '[^/]*', '?': '[^/]' };

/** Never of a build context, and slow to walk through. */
const NEVER = new Set(['.git', '.local', '.data', 'node_modules']);

/** The files of a folder that a build may see. */
export function contextFiles(root: string, ignoreFile: string): string[] {
  const ignored = readIgnore(readFileSync(ignoreFile, 'utf8'));
  const found: string[] = [];
  const walk = (folder: string) => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
      if (NEVER.has(entry.name)) continue;
      if (entry.isDirectory()) walk(path);
      else if (!ignored(path)) found.push(path);
    }
  };
  walk('');
  return found.sort();
}

/** Lays the build context into a folder, as `docker build` sends it to the engine. */
export function layContext(root: string, ignoreFile: string, target: string): string[] {
  const files = contextFiles(root, ignoreFile);
  for (const path of files)
    cpSync(join(root, path), join(target, path), { recursive: true, preserveTimestamps: false });
  return files;
}
