import { readdirSync, readFileSync } from 'node:fs';
import { basename, join, relative, sep } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../../..');

/** Floor of each package; imports go down only (docs/architecture.md). */
const floors: Readonly<Record<string, number>> = {
  '@gatehouse/events': 0,
  '@gatehouse/schema': 0,
  '@gatehouse/nats-claims': 0,
  '@gatehouse/audit-chain': 0,
  '@gatehouse/embedded': 1,
  '@gatehouse/backup': 1,
  '@gatehouse/kit': 2,
  '@gatehouse/gateway': 3,
  '@gatehouse/auth': 3,
  '@gatehouse/token': 3,
  '@gatehouse/nats-identity': 3,
  '@gatehouse/audit': 3,
  '@gatehouse/grafana': 3,
  '@gatehouse/all-in-one': 4,
  '@gatehouse/cli': 4,
  '@gatehouse/dev': 5,
  '@gatehouse/checks': 5,
  '@gatehouse/deployment': 5,
  '@gatehouse/e2e': 5,
};

const forbiddenNames = new Set(
  'utils util helpers helper common shared misc manager handler controller repository dto types'.split(' '),
);

interface Source {
  readonly path: string;
  readonly owner: string;
  readonly text: string;
}

function packageFolders(): string[] {
  const under = (folder: string) =>
    readdirSync(join(root, folder), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(root, folder, entry.name));
  return [
    ...under('packages'),
    ...under('services'),
    join(root, 'e2e'),
    join(root, 'infra/dev'),
    join(root, 'infra/checks'),
    join(root, 'infra/grafana'),
    join(root, 'infra/deployment'),
  ];
}

function sources(): Source[] {
  return packageFolders().flatMap((folder) => {
    const owner = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).name as string;
    return readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => /\.(ts|mjs)$/.test(name) && !name.split(sep).includes('node_modules'))
      .map((name) => ({
        path: relative(root, join(folder, name)),
        owner,
        text: readFileSync(join(folder, name), 'utf8'),
      }));
  });
}

const importOf = /(?:from|import)\s*\(?\s*['"]([^'"]+)['"]/g;

describe('the house', () => {
  const all = sources();

  it('has a floor for every package, and no package without one', () => {
    expect([...new Set(all.map(({ owner }) => owner))].sort()).toEqual(Object.keys(floors).sort());
  });

  it('imports go down only, never sideways', () => {
    const wrong = all.flatMap(({ path, owner, text }) =>
      [...text.matchAll(importOf)]
        .map((match) => /^@gatehouse\/[a-z-]+/.exec(match[1] ?? '')?.[0])
        .filter((target): target is string => target !== undefined && target !== owner)
        .filter((target) => {
          // A test may stand on the embedded servers and on the services it needs beside its own.
          if (/(\.(test|e2e)|[/-]testing)\.ts$/.test(path)) return false;
          const [from, to] = [floors[owner] ?? 0, floors[target] ?? 9];
          return to >= from && !(from === 4 && to === 4);
        })
        .map((target) => `${path} → ${target}`),
    );
    expect(wrong).toEqual([]);
  });

  it('relative imports stay within their package', () => {
    const wrong = all.flatMap(({ path, text }) =>
      [...text.matchAll(importOf)]
        .map((match) => match[1] ?? '')
        .filter((target) => target.startsWith('.'))
        .filter((target) => {
          const home = path
            .split(sep)
            .slice(0, path.startsWith('e2e') ? 1 : 2)
            .join(sep);
          return !join(path, '..', target).startsWith(home);
        })
        .map((target) => `${path} → ${target}`),
    );
    expect(wrong).toEqual([]);
  });

  it('no file has a name that says nothing', () => {
    const wrong = all
      .map(({ path }) => path)
      .filter((path) => forbiddenNames.has(basename(path).replace(/(\.test|\.e2e)?\.(ts|mjs)$/, '')));
    expect(wrong).toEqual([]);
  });

  it('nothing skips a test, narrows the run to one, or expects what cannot fail', () => {
    const wrong = all
      .filter(({ path }) => /\.(test|e2e)\.ts$/.test(path) && !path.endsWith('floors.test.ts'))
      .filter(({ text }) => /\b(?:it|test|describe)\.(?:skip|only|todo)\b|expect\(true\)/.test(text))
      .map(({ path }) => path);
    expect(wrong).toEqual([]);
  });

  it('only the kit and the schema talk to the process environment, besides what starts programs', () => {
    const wrong = all
      .filter(({ path }) => path.startsWith('services/') && !/\.test\.ts$/.test(path))
      .filter(({ text }) => /process\.env\b/.test(text))
      .map(({ path }) => path);
    expect(wrong).toEqual([]);
  });
});
