import type { Finding, LockMode, MigrationPlan, PlannedMigration, PlannedStatement } from '@gatehouse/schema';

type Sizes = MigrationPlan['sizes'];

/** Fewer rows and bytes than these are read or written in a moment. */
const SMALL_ROWS = 10_000;
const SMALL_BYTES = 16 * 1024 * 1024;

const isSmall = (sizes: Sizes, table: string): boolean => {
  const size = sizes.get(table);
  return size !== undefined && (size.rows ?? 0) < SMALL_ROWS && size.bytes < SMALL_BYTES;
};

/** Rules whose harm grows with the table. */
const bySize: ReadonlySet<string> = new Set<Finding['rule']>([
  'rewrites',
  'scans-under-lock',
  'changes-rows',
  'held-meanwhile',
]);

/**
 * What is worth a warning in this database: what would take long there, and what code of before would miss. What a
 * migration has declared with its reason is told, and is no warning.
 */
export const warningsOf = ({ migrations, sizes }: MigrationPlan): Finding[] =>
  migrations
    .flatMap(({ statements, findings }) => [
      ...statements.flatMap((statement) => statementWarnings(statement, sizes)),
      ...findings,
    ])
    .filter(({ allowed }) => allowed === undefined);

const statementWarnings = ({ findings, rewrites, scans }: PlannedStatement, sizes: Sizes): Finding[] =>
  findings.filter(({ rule, on }) => {
    if (!bySize.has(rule)) return true;
    // What is held meanwhile waits for as long as the others are worked on.
    const worked = rule === 'held-meanwhile' ? [...rewrites, ...scans] : [on];
    return worked.some((table) => !isSmall(sizes, table));
  });

/** The plan as one JSON document. */
export const planAsJson = (plan: MigrationPlan) => ({
  direction: plan.direction,
  basis: plan.basis,
  database_version: plan.databaseVersion,
  migrations: plan.migrations.map(({ name, statements, findings }) => ({
    name,
    statements: statements.map(({ findings: _all, ...statement }, at) => ({
      ...statement,
      warnings: statementWarnings(statements[at] as PlannedStatement, plan.sizes),
    })),
    warnings: findings,
  })),
  tables: Object.fromEntries(touchedTables(plan).map((table) => [table, plan.sizes.get(table) ?? null])),
});

const touchedTables = ({ migrations }: MigrationPlan): string[] => {
  const touched = migrations.flatMap(({ statements }) =>
    statements.flatMap(({ locks, scans, rewrites, writes }) => [
      ...locks.map(({ table }) => table),
      ...scans,
      ...rewrites,
      ...writes,
    ]),
  );
  return [...new Set(touched)].sort();
};

/** The plan for people; `full`: long statements whole. */
export const describePlan = (plan: MigrationPlan, full: boolean): string => {
  const { migrations, direction, databaseVersion } = plan;
  if (migrations.length === 0)
    return direction === 'up'
      ? 'nothing to do: the database is up to date'
      : 'nothing to do: none is applied';
  const described = new DescribedPlan(plan, full);
  const warnings = warningsOf(plan).length;
  return [
    `${counted(migrations.length, 'migration')} to ${direction === 'up' ? 'apply' : 'undo'}; the database is at ${databaseVersion ?? 'none'}`,
    basisText[plan.basis],
    'a lock is held to the end of its transaction, which the migrations share',
    ...migrations.flatMap((migration) => described.migration(migration)),
    '',
    warnings === 0 ? 'no warnings' : counted(warnings, 'warning'),
  ].join('\n');
};

const basisText = {
  scratch: 'found by running them in a scratch database of the same schema; sizes are those of the real one',
  rehearsal: 'found by running them in the real database, and rolled back',
  text: 'read off the text: what a statement reads or writes anew is not known',
} as const;

const counted = (count: number, noun: string): string =>
  `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;

/** Goes through a plan in order, because a lock is held from the statement that took it. */
class DescribedPlan {
  readonly #sizes: Sizes;
  readonly #full: boolean;
  readonly #held = new Map<string, { readonly mode: LockMode; readonly since: string }>();

  constructor({ sizes }: MigrationPlan, full: boolean) {
    this.#sizes = sizes;
    this.#full = full;
  }

  migration({ name, statements, findings }: PlannedMigration): string[] {
    return [
      '',
      name,
      ...statements.flatMap((statement, at) => this.#statement(statement, `${name.slice(0, 4)}.${at + 1}`)),
      ...findings.map((one) => warning('  ', one)),
    ];
  }

  #statement(statement: PlannedStatement, place: string): string[] {
    const alone = statement.transaction === 'none';
    // It commits what was before it, and with that the locks end.
    if (alone) this.#held.clear();
    const [first = '', ...rest] = shortened(statement.sql, this.#full);
    const about = [
      ...(alone ? ['in no transaction: each run commits by itself'] : []),
      ...statement.locks.map(({ table, mode }) => this.#locked(table, mode, alone ? undefined : place)),
      ...statement.rewrites.map((table) => `writes anew ${this.#sized(table)}${this.#under(table, place)}`),
      ...statement.scans
        .filter((table) => !statement.rewrites.includes(table))
        .map((table) => `reads ${this.#sized(table)}${this.#under(table, place)}`),
      ...statement.writes.map((table) => `changes rows of ${this.#sized(table)}`),
    ];
    return [
      `  ${place}  ${first}`,
      ...rest.map((line) => `      ${line}`),
      ...about.map((line) => `      - ${line}`),
      ...statementWarnings(statement, this.#sizes).map((one) => warning('      ', one)),
    ];
  }

  #locked(table: string, mode: LockMode, place: string | undefined): string {
    if (place !== undefined) this.#held.set(table, { mode, since: place });
    return `${mode} on ${this.#sized(table)}: ${effectOf(mode)}`;
  }

  #under(table: string, place: string): string {
    const held = this.#held.get(table);
    return held === undefined || held.since === place ? '' : `, under ${held.mode} since ${held.since}`;
  }

  #sized(table: string): string {
    const size = this.#sizes.get(table);
    if (size === undefined) return table;
    return `${table} (${size.rows === null ? 'rows not counted' : counted(size.rows, 'row')}, ${bytesText(size.bytes)})`;
  }
}

const warning = (indent: string, { sentence, remedy, allowed }: Finding): string =>
  allowed === undefined
    ? `${indent}! ${sentence}: ${remedy}`
    : `${indent}~ ${sentence}; meant so: ${allowed}`;

const effectOf = (mode: LockMode): string => {
  if (mode === 'ACCESS EXCLUSIVE') return 'no reads and no writes';
  if (mode === 'SHARE' || mode === 'SHARE ROW EXCLUSIVE' || mode === 'EXCLUSIVE') return 'no writes';
  return mode === 'SHARE UPDATE EXCLUSIVE' ? 'reads and writes go on' : 'nobody waits';
};

const LINES_MAX = 3;

/** The statement without comments of their own lines; its beginning, unless it is wanted whole. */
const shortened = (sql: string, full: boolean): string[] => {
  const lines = sql.split('\n').filter((line) => full || !/^\s*(?:--.*)?$/.test(line));
  if (full || lines.length <= LINES_MAX) return lines;
  return [
    ...lines.slice(0, LINES_MAX - 1),
    `… ${lines.length - LINES_MAX + 1} more lines: --full shows them`,
  ];
};

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'] as const;

const bytesText = (bytes: number): string => {
  const power = Math.min(UNITS.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  return `${Number((bytes / 1024 ** power).toPrecision(3))} ${UNITS[power]}`;
};
