import type { LockMode } from './lock-mode.ts';
import { bareText, isOnline } from './statements.ts';

const NAME = '((?:\\w+\\.)?\\w+)';
const IF = '(?:if (?:not )?exists )?(?:only )?';

/** By the manual (Explicit Locking, and the page of each command): what comes first holds. */
const rules: readonly (readonly [pattern: RegExp, mode: LockMode])[] = [
  [new RegExp(`^create (?:unique )?index concurrently .*?\\bon (?:only )?${NAME}`), 'SHARE UPDATE EXCLUSIVE'],
  [new RegExp(`^create (?:unique )?index .*?\\bon (?:only )?${NAME}`), 'SHARE'],
  [new RegExp(`^drop index concurrently ${IF}${NAME}`), 'SHARE UPDATE EXCLUSIVE'],
  [new RegExp(`^alter table ${IF}${NAME} validate constraint`), 'SHARE UPDATE EXCLUSIVE'],
  [new RegExp(`^alter table ${IF}${NAME} (?:set|reset) \\(`), 'SHARE UPDATE EXCLUSIVE'],
  [new RegExp(`^alter table ${IF}${NAME} add (?:constraint \\w+ )?foreign key`), 'SHARE ROW EXCLUSIVE'],
  [new RegExp(`^alter table ${IF}${NAME} .*detach partition .*concurrently`), 'SHARE UPDATE EXCLUSIVE'],
  [new RegExp(`^alter table ${IF}${NAME}`), 'ACCESS EXCLUSIVE'],
  [new RegExp(`^drop (?:table|index) ${IF}${NAME}`), 'ACCESS EXCLUSIVE'],
  [new RegExp(`^create table .*? partition of ${NAME}`), 'ACCESS EXCLUSIVE'],
  [new RegExp(`^truncate (?:table )?(?:only )?${NAME}`), 'ACCESS EXCLUSIVE'],
  [new RegExp(`^create (?:or replace )?(?:constraint )?trigger .*? on ${NAME}`), 'SHARE ROW EXCLUSIVE'],
  [new RegExp(`^(?:insert into|update|delete from) (?:only )?${NAME}`), 'ROW EXCLUSIVE'],
];

/** The lock that a statement takes by the manual, read off its text; undefined where the text does not tell. */
export const assumedLock = (
  statement: string,
): { readonly table: string; readonly mode: LockMode } | undefined => {
  const text = bareText(statement);
  for (const [pattern, mode] of rules) {
    const table = pattern.exec(text)?.[1];
    if (table !== undefined) return { table, mode };
  }
  return undefined;
};

/** The table that a statement makes. */
export const madeBy = (statement: string): string | undefined =>
  new RegExp(`^create (?:temp\\w* |unlogged )?table ${IF}${NAME}`).exec(bareText(statement))?.[1];

/** Whether the text leaves open what the statement does: it runs code. */
export const isOpaque = (statement: string): boolean =>
  !isOnline(statement) && /^(?:do|select|call)\b/.test(bareText(statement));
