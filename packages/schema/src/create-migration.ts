import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Where the migrations of this checkout are. */
export const migrationsFolder: string = join(import.meta.dirname, '../migrations');

/** A migration that cannot be made; the message says why and what to do. */
export class MigrationRefused extends Error {
  override readonly name = 'MigrationRefused';
}

const NAME = /^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/;
const NAME_MAX = 60;
const NUMBER_MAX = 9999;
const ENTRIES_END = '\n};';

/** Names that TypeScript does not take for an import. */
const reserved: ReadonlySet<string> = new Set(
  'await break case catch class const continue debugger default delete do else enum export extends false finally for function if implements import in instanceof interface let migrations new null package private protected public return static super switch this throw true try typeof var void while with yield'.split(
    ' ',
  ),
);

const template = `/** What this changes, and why. */
export const up = \`
-- SQL, run in one transaction with the record that it ran. The release of before goes on meanwhile: add what it can
-- ignore. CONTRIBUTING.md says how to build an index, and how to take something away.
\`;

// Back to what was there before; say what is lost.
export const down = \`
-- SQL that undoes it.
\`;
`;

/**
 * Makes a migration: `NNNN-name.ts` with both directions, and its line in `index.ts`.
 *
 * @param folder the checkout's migrations
 * @returns the whole name, such as `0010-invitations`
 * @throws MigrationRefused
 */
export async function createMigration(folder: string, name: string): Promise<string> {
  refuseName(name);
  const index = await readFile(join(folder, 'index.ts'), 'utf8').catch(() => undefined);
  if (index === undefined)
    throw new MigrationRefused(`${folder} holds no migrations: run this from a checkout of Gatehouse`);
  const known = (await readdir(folder))
    .map((file) => /^(\d{4})-(.+)\.ts$/.exec(file))
    .filter((found) => found !== null);
  const namesake = known.find(([, , other]) => other === name);
  if (namesake !== undefined)
    throw new MigrationRefused(`there is a migration ${name} already (${namesake[0]}): choose another name`);
  const number = 1 + Math.max(0, ...known.map(([, digits]) => Number(digits)));
  if (number > NUMBER_MAX) throw new MigrationRefused('there are no numbers left');
  const whole = `${String(number).padStart(4, '0')}-${name}`;
  const extended = extendIndex(index, whole, importNameOf(name));
  const file = join(folder, `${whole}.ts`);
  // Refused when another run was faster.
  await writeFile(file, template, { flag: 'wx' });
  try {
    await writeFile(join(folder, 'index.ts.new'), extended);
    await rename(join(folder, 'index.ts.new'), join(folder, 'index.ts'));
  } catch (error) {
    await rm(file, { force: true });
    throw error;
  }
  return whole;
}

function refuseName(name: string): void {
  if (!NAME.test(name) || name.length > NAME_MAX)
    throw new MigrationRefused(
      `${name || 'nothing'} cannot name a migration: lower-case words joined by "-", such as user-phone-number, at most ${NAME_MAX} characters`,
    );
  if (reserved.has(importNameOf(name)))
    throw new MigrationRefused(`${name} is a word of TypeScript: name the migration with two words`);
}

/** `audit-event-id` is imported as `auditEventId`. */
const importNameOf = (name: string): string =>
  name.replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

function extendIndex(index: string, whole: string, importName: string): string {
  const lastImport = [...index.matchAll(/^import \* as (\w+) from '\.\/[^']+';\n/gm)];
  if (lastImport.some(([, taken]) => taken === importName))
    throw new MigrationRefused(`the name ${importName} is taken in index.ts: choose another name`);
  const after = lastImport.at(-1);
  const end = index.lastIndexOf(ENTRIES_END);
  if (after === undefined || end === -1)
    throw new MigrationRefused('index.ts of the migrations does not look as expected: add the line by hand');
  const at = after.index + after[0].length;
  return [
    index.slice(0, at),
    `import * as ${importName} from './${whole}.ts';\n`,
    index.slice(at, end),
    `\n  '${whole}': ${importName},`,
    index.slice(end),
  ].join('');
}
