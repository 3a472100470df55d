import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { documents } from './documents.ts';
import { repositoryFiles, root } from './sources.ts';

const remedy = 'run `node infra/checks/src/generate.ts` and commit what it writes';

describe('the documents', () => {
  it.each(documents)('$path equals the code, both ways', ({ path, text }) => {
    expect(readFileSync(join(root, path), 'utf8'), remedy).toBe(text());
  });

  it('name no file of the repository that is not there', () => {
    const files = repositoryFiles();
    const known = new Set(files);
    const names = new Set(files.map((path) => path.slice(path.lastIndexOf('/') + 1)));
    const pages = files.filter((path) => path.endsWith('.md'));
    const wrong = pages.flatMap((page) => {
      const text = readFileSync(join(root, page), 'utf8');
      return [...text.matchAll(/`([a-z0-9][a-z0-9./-]*\.(?:ts|mjs|sql|yaml|md))`/g)]
        .map((match) => match[1] ?? '')
        .filter((path) => (path.includes('/') ? !named(known, page, path) : !names.has(path)))
        .map((path) => `${page}: ${path}`);
    });
    expect(wrong).toEqual([]);
  });

  it('docs/ordering.md quotes tests that exist', () => {
    const text = readFileSync(join(root, 'docs/ordering.md'), 'utf8');
    const quoted = [...text.matchAll(/`([^`]+\.ts)`:\s+"([^"]+)"/g)];
    expect(quoted.length).toBeGreaterThan(20);
    const missing = quoted
      .map(([, path = '', title = '']) => ({ path, title }))
      .filter(({ path, title }) => !readFileSync(join(root, path), 'utf8').includes(title))
      .map(({ path, title }) => `${path}: ${title}`);
    expect(missing).toEqual([]);
  });

  it('have no link that leads nowhere', () => {
    const files = repositoryFiles();
    const known = new Set(files);
    const wrong = files
      .filter((path) => path.endsWith('.md'))
      .flatMap((page) =>
        [...readFileSync(join(root, page), 'utf8').matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)]
          .map((match) => match[1] ?? '')
          .filter((target) => !/^[a-z]+:/.test(target))
          .filter((target) => !leads(known, join(page, '..', target)))
          .map((target) => `${page}: ${target}`),
      );
    expect(wrong).toEqual([]);
  });
});

/** A path may be given from the root, or from the folder that the sentence is about. */
function named(known: ReadonlySet<string>, page: string, path: string): boolean {
  if (known.has(path) || known.has(join(page, '..', path))) return true;
  for (const file of known) if (file.endsWith(`/${path}`)) return true;
  return false;
}

function leads(known: ReadonlySet<string>, path: string): boolean {
  const folder = path.endsWith('/') ? path : `${path}/`;
  if (known.has(path)) return true;
  for (const file of known) if (file.startsWith(folder)) return true;
  return false;
}
