import type { Catalogue } from './catalogue.ts';
import { blockedBy, type LockMode } from './lock-mode.ts';
import type { Observation } from './observe-statement.ts';
import { bareText } from './statements.ts';

/** What a migration may not do without a reason: it would stop traffic, or break the release that still runs. */
export type MigrationRule =
  | 'rewrites'
  | 'scans-under-lock'
  | 'held-meanwhile'
  | 'changes-rows'
  | 'table-gone'
  | 'column-gone'
  | 'column-retyped'
  | 'column-required'
  | 'function-gone'
  | 'right-gone'
  | 'unique-gone'
  | 'unique-new'
  | 'constraint-new';

/** One breach of a rule. */
export interface Finding {
  readonly rule: MigrationRule;
  /** The table, column, function or right. */
  readonly on: string;
  /** What happens, in one sentence. */
  readonly sentence: string;
  readonly remedy: string;
  /** Why the migration does it all the same, when it has declared it. */
  readonly allowed?: string;
}

/** A breach that a migration declares, so that it is no oversight. */
export interface Allowance {
  readonly rule: MigrationRule;
  /** As in the finding: `schema.table`, `schema.table.column`, … */
  readonly on: string;
  readonly why: string;
  /**
   * For what goes or becomes narrower: the newest migration of the release since which no code uses it. Releases before
   * that one are refused by the database from then on.
   */
  readonly unusedSince?: string;
}

/** Rules whose breach breaks code that relies on what was there. */
export const breakingRules: ReadonlySet<MigrationRule> = new Set<MigrationRule>([
  'table-gone',
  'column-gone',
  'column-retyped',
  'column-required',
  'function-gone',
  'right-gone',
  'unique-gone',
]);

const LATER =
  'leave it until no release that uses it runs any more: first a release that does without it, then the migration';

/** What code that knows `before` would miss in `after`. */
export const breaches = (before: Catalogue, after: Catalogue): Finding[] => {
  const goneTables = [...before.tables].filter((table) => !after.tables.has(table));
  const stayed = (name: string) => !goneTables.some((table) => name.startsWith(`${table}.`));
  const inBoth = (table: string) => before.tables.has(table) && after.tables.has(table);
  return [
    ...goneTables.map((on) => finding('table-gone', on, `${on} is gone or has another name`, LATER)),
    ...[...before.columns].flatMap(([on, was]) => (stayed(on) ? changedColumn(on, was, after) : [])),
    ...newColumns(before, after),
    ...[...before.functions]
      .filter(([on, result]) => after.functions.get(on) !== result)
      .map(([on]) => finding('function-gone', on, `${on} is gone or answers differently`, LATER)),
    ...[...before.rights]
      .filter((on) => !after.rights.has(on) && !goneTables.some((table) => on.includes(` on ${table}`)))
      .map((on) => finding('right-gone', on, `a service loses a right (${on})`, LATER)),
    ...differing(before.uniques, after.uniques)
      .filter(([table]) => inBoth(table))
      .map(([on, text]) =>
        finding(
          'unique-gone',
          on,
          `${on} is not unique by ${text} any more, which "on conflict" needs`,
          LATER,
        ),
      ),
    ...differing(after.uniques, before.uniques)
      .filter(([table]) => inBoth(table))
      .map(([on, text]) =>
        finding('unique-new', on, `code of before may write what is not unique by ${text}`, TOLD),
      ),
    ...differing(after.constraints, before.constraints)
      .filter(([table]) => inBoth(table))
      .map(([on, text]) =>
        finding('constraint-new', on, `code of before may write what ${text} refuses`, TOLD),
      ),
  ];
};

/** What is lost by going down from `before` to `after`. */
export const losses = (before: Catalogue, after: Catalogue): Finding[] =>
  breaches(before, after)
    .filter(({ rule }) => rule === 'table-gone' || rule === 'column-gone')
    .map(({ rule, on }) =>
      finding(rule, on, `what is in ${on} is lost`, 'make a backup first: gatehouse backup create'),
    );

const TOLD = 'the release that still runs must never write that, and the migration says why ("allows")';

/** Gives each declared breach the migration's reason. */
export const withReasons = (
  findings: readonly Finding[],
  allows: readonly Allowance[] | undefined,
): readonly Finding[] =>
  findings.map((found) => {
    const why = allows?.find(({ rule, on }) => rule === found.rule && on === found.on)?.why;
    return why === undefined ? found : { ...found, allowed: why };
  });

const finding = (rule: MigrationRule, on: string, sentence: string, remedy: string): Finding => ({
  rule,
  on,
  sentence,
  remedy,
});

type Column = { readonly type: string; readonly required: boolean };

const changedColumn = (on: string, was: Column, after: Catalogue): Finding[] => {
  const is = after.columns.get(on);
  if (is === undefined) return [finding('column-gone', on, `${on} is gone or has another name`, LATER)];
  const found: Finding[] = [];
  if (is.type !== was.type)
    found.push(finding('column-retyped', on, `${on} was ${was.type} and is ${is.type}`, LATER));
  if (is.required && !was.required) found.push(requiredColumn(on));
  return found;
};

const newColumns = (before: Catalogue, after: Catalogue): Finding[] =>
  [...after.columns]
    .filter(([on, { required }]) => required && !before.columns.has(on) && before.tables.has(tableOf(on)))
    .map(([on]) => requiredColumn(on));

const requiredColumn = (on: string): Finding =>
  finding(
    'column-required',
    on,
    `code of before inserts without ${on}, which may not be null and has no default`,
    'give it a default, or leave it nullable until every release that runs writes it',
  );

const tableOf = (column: string): string => column.slice(0, column.lastIndexOf('.'));

/** What the first has by table and the second has not. */
const differing = (
  one: ReadonlyMap<string, ReadonlySet<string>>,
  other: ReadonlyMap<string, ReadonlySet<string>>,
): [table: string, text: string][] =>
  [...one].flatMap(([table, texts]) =>
    [...texts].filter((text) => !other.get(table)?.has(text)).map((text): [string, string] => [table, text]),
  );

/**
 * What a statement does to traffic. `held`: the locks of its transaction when it runs, its own included, which all stay
 * until the commit.
 */
export const hindrances = (
  statement: string,
  seen: Observation,
  held: ReadonlyMap<string, LockMode>,
): Finding[] => {
  const stopped = (table: string) => {
    const mode = held.get(table);
    const blocked = mode === undefined ? 'nothing' : blockedBy(mode);
    return blocked === 'writes' || blocked === 'reads and writes' ? blocked : undefined;
  };
  const long = [...new Set([...seen.rewrites, ...seen.scans])];
  const scanned = long.filter((table) => !seen.rewrites.includes(table) && stopped(table) !== undefined);
  const meanwhile = [...held.keys()].filter((table) => !long.includes(table) && stopped(table) !== undefined);
  return [
    ...seen.rewrites.map((on) =>
      finding('rewrites', on, `${on} is written anew, with no ${stopped(on) ?? 'writes'} meanwhile`, BESIDE),
    ),
    ...scanned.map((on) =>
      finding(
        'scans-under-lock',
        on,
        `${on} is read from end to end, with no ${stopped(on)} meanwhile`,
        /^create (?:unique )?index/.test(bareText(statement)) ? CONCURRENTLY : NOT_VALID,
      ),
    ),
    ...(long.length === 0 ? [] : meanwhile).map((on) =>
      finding('held-meanwhile', on, `${on} stays without ${stopped(on)} while ${long} is worked on`, APART),
    ),
    ...seen.writes
      .filter((table) => !seen.rewrites.includes(table))
      .map((on) =>
        finding('changes-rows', on, `rows of ${on} are changed and stay locked to the end`, BATCHES),
      ),
  ];
};

const BESIDE =
  'add a column or a table beside it, let the service fill it in batches, and change over a release later';
const CONCURRENTLY =
  'build it with "create index concurrently", in a migration with "export const online = true"';
const NOT_VALID =
  'add the constraint "not valid", and validate it in a migration of its own, which lets reads and writes go on';
const APART =
  'take the short locks in a migration of their own, and apply it with "gatehouse migrate up-by-one"';
const BATCHES = 'let a job of the service change them in batches after the deployment';
