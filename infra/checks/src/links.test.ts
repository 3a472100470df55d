import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { repositoryRoot } from '@gatehouse/embedded';
import { expect, it } from 'vitest';

const pages = [
  ...readdirSync(repositoryRoot).map((name) => join(repositoryRoot, name)),
  ...readdirSync(join(repositoryRoot, 'docs')).map((name) => join(repositoryRoot, 'docs', name)),
].filter((path) => path.endsWith('.md'));

/** As GitHub makes them: lower case, spaces to dashes, everything else that is no word gone. */
const anchorOf = (heading: string): string =>
  heading
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(' ', '-');

const withoutCode = (text: string): string =>
  text.replace(/^```[\s\S]*?^```$/gm, '').replace(/`[^`\n]*`/g, '');

function anchorsOf(path: string): Set<string> {
  const text = readFileSync(path, 'utf8').replace(/^```[\s\S]*?^```$/gm, '');
  return new Set([...text.matchAll(/^#{1,6} (.+)$/gm)].map(([, heading = '']) => anchorOf(heading)));
}

function brokenLinksIn(path: string): string[] {
  const links = [...withoutCode(readFileSync(path, 'utf8')).matchAll(/\]\(([^)\s]+)\)/g)].map(
    ([, to = '']) => to,
  );
  return links
    .filter((to) => !/^[a-z]+:/.test(to))
    .filter((to) => {
      const [file = '', anchor] = to.split('#');
      const target = file === '' ? path : join(dirname(path), file);
      if (!existsSync(target)) return true;
      return anchor !== undefined && target.endsWith('.md') && !anchorsOf(target).has(anchor);
    })
    .map((to) => `${relative(repositoryRoot, path)} → ${to}`);
}

it('every link from one page to another leads to a file and a heading that are there', () => {
  expect(pages.flatMap(brokenLinksIn)).toEqual([]);
});
