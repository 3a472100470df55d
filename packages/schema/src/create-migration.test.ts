import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createMigration, MigrationRefused, migrationsFolder } from './create-migration.ts';
import { knownMigrations } from './migration-status.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'gatehouse-migrations-'));
  cpSync(migrationsFolder, folder, { recursive: true });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const next = String(knownMigrations.length + 1).padStart(4, '0');
const contents = () =>
  Object.fromEntries(readdirSync(folder).map((file) => [file, readFileSync(join(folder, file), 'utf8')]));

it('a new migration has the next number, both directions, and its place at the end of the history', async () => {
  const before = contents();
  expect(await createMigration(folder, 'user-phone-number')).toBe(`${next}-user-phone-number`);
  const { migrations } = await import(pathToFileURL(join(folder, 'index.ts')).href);
  expect(Object.keys(migrations)).toEqual([...knownMigrations, `${next}-user-phone-number`]);
  expect(Object.keys(migrations[`${next}-user-phone-number`]).sort()).toEqual(['down', 'up']);
  for (const name of knownMigrations) expect(contents()[`${name}.ts`]).toBe(before[`${name}.ts`]);
});

it('two in a row stand in order', async () => {
  await createMigration(folder, 'first-one');
  const second = await createMigration(folder, 'second-one');
  expect(Number(second.slice(0, 4))).toBe(Number(next) + 1);
  const { migrations } = await import(pathToFileURL(join(folder, 'index.ts')).href);
  expect(Object.keys(migrations).slice(-2)).toEqual([`${next}-first-one`, second]);
});

it.each([
  ['', 'cannot name a migration'],
  ['Users', 'cannot name a migration'],
  ['user_phone', 'cannot name a migration'],
  ['-x', 'cannot name a migration'],
  ['../outside', 'cannot name a migration'],
  ['x'.repeat(61), 'at most 60 characters'],
  ['delete', 'two words'],
  ['auth', 'there is a migration auth already (0002-auth.ts)'],
])('the name %j is refused, and nothing is written', async (name, why) => {
  const before = contents();
  const refused = await createMigration(folder, name).catch((error: Error) => error);
  expect(refused).toBeInstanceOf(MigrationRefused);
  expect((refused as Error).message).toContain(why);
  expect(contents()).toEqual(before);
});

it('where there are no migrations it says what to do', async () => {
  const empty = mkdtempSync(join(tmpdir(), 'gatehouse-empty-'));
  await expect(createMigration(empty, 'some-name')).rejects.toThrow('run this from a checkout of Gatehouse');
  expect(readdirSync(empty)).toEqual([]);
  rmSync(empty, { recursive: true });
});
