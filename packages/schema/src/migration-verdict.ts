import type { MigrationText } from '../migrations/index.ts';
import { type Allowance, breakingRules, type Finding } from './migration-rule.ts';
import { isOnline, statementsOf } from './statements.ts';

/**
 * Why a migration may not land, a sentence each; none when it may.
 *
 * @param findings what it was seen to do, on a database with rows in every table
 * @param released the newest migrations of the landed releases, the oldest first
 */
export const objectionsTo = (
  text: MigrationText,
  findings: readonly Finding[],
  released: readonly string[],
): string[] => {
  const { allows = [] } = text;
  const undeclared = findings.filter((found) => !allows.some((one) => isSame(one, found)));
  return [
    ...undeclared.map(({ sentence, remedy, rule, on }) => {
      const since = breakingRules.has(rule) ? `, unusedSince: '…'` : '';
      return `${sentence}: ${remedy}. If it must be: allows = [{ rule: '${rule}', on: '${on}', why: '…'${since} }]`;
    }),
    ...allows
      .filter((one) => !findings.some((found) => isSame(one, found)))
      .map(({ rule, on }) => `"allows" names ${rule} on ${on}, which it does not do: take that out`),
    ...allows.flatMap((one) => objectionsToAllowance(one, released)),
    ...objectionsToOnline(text),
  ];
};

const isSame = (one: { rule: string; on: string }, other: { rule: string; on: string }): boolean =>
  one.rule === other.rule && one.on === other.on;

const WHY_LENGTH_MIN = 15;

const objectionsToAllowance = (
  { rule, on, why, unusedSince }: Allowance,
  released: readonly string[],
): string[] => [
  ...(why.trim().length < WHY_LENGTH_MIN
    ? [`"allows" says too little about why ${rule} on ${on} is right`]
    : []),
  ...(breakingRules.has(rule) && (unusedSince === undefined || !released.includes(unusedSince))
    ? [
        `${on} may go when a landed release does without it: unusedSince must be the newest migration of that release (${released.join(', ')})`,
      ]
    : []),
];

const objectionsToOnline = ({ up, down, online = false }: MigrationText): string[] => {
  const statements = [...statementsOf(up), ...statementsOf(down)];
  if (!online)
    return statements
      .filter(isOnline)
      .map((sql) => `"${sql}" runs in no transaction: give it a migration with "export const online = true"`);
  return statements
    .filter((sql) => !isOnline(sql) || !/\bif (?:not )?exists\b/i.test(sql))
    .map(
      (sql) =>
        `"${sql}" of an online migration must be one that runs concurrently, and say "if (not) exists"`,
    );
};
