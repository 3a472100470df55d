import { type Kysely, sql } from 'kysely';
import type { MigrationText } from '../migrations/index.ts';
import { breakingRules } from './migration-rule.ts';

/** The oldest there is: a migration that breaks nothing works with every release that can read this table. */
const EVERY_RELEASE = '0001-foundation';

/** The newest migration that a release must know in order to work with this one. */
export const neededBy = ({ allows = [] }: MigrationText): string =>
  allows
    .filter(({ rule }) => breakingRules.has(rule))
    .map(({ unusedSince }) => unusedSince ?? EVERY_RELEASE)
    .toSorted()
    .at(-1) ?? EVERY_RELEASE;

/** Notes it for older releases, in the migration's own transaction. Before there was a table for it nothing is noted. */
export const recordCompatibility = async (
  db: Kysely<unknown>,
  name: string,
  text: MigrationText,
): Promise<void> => {
  if (!(await isThere(db))) return;
  await sql`insert into gatehouse.compatibility (migration, needs) values (${name}, ${neededBy(text)})
    on conflict (migration) do update set needs = excluded.needs`.execute(db);
};

export const forgetCompatibility = async (db: Kysely<unknown>, name: string): Promise<void> => {
  if (!(await isThere(db))) return;
  await sql`delete from gatehouse.compatibility where migration = ${name}`.execute(db);
};

const isThere = async (db: Kysely<unknown>): Promise<boolean> => {
  const { rows } = await sql<{ found: boolean }>`
    select to_regclass('gatehouse.compatibility') is not null as found`.execute(db);
  return rows[0]?.found === true;
};
