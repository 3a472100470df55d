import type pg from 'pg';
import { type MigrationText, migrations } from '../migrations/index.ts';
import { assumedLock, isOpaque, madeBy } from './assumed-lock.ts';
import { readCatalogue } from './catalogue.ts';
import { isStronger, type LockMode } from './lock-mode.ts';
import { MigrationFailed } from './migration-error.ts';
import { breaches, type Finding, hindrances, losses, withReasons } from './migration-rule.ts';
import { type Observation, observeStatements, type StatementObserver } from './observe-statement.ts';
import { isOnline, statementsOf } from './statements.ts';

/** One statement, and what it does to whoever works on the database meanwhile. */
export interface PlannedStatement {
  readonly sql: string;
  /** `none`: it runs by itself, because Postgres refuses it in a transaction. */
  readonly transaction: 'shared' | 'none';
  /** `observed` when Postgres ran it; `assumed` when it is read off the text. */
  readonly basis: 'observed' | 'assumed';
  /** Taken by it on tables that were there before; held until the end of the transaction. */
  readonly locks: Observation['locks'];
  readonly rewrites: readonly string[];
  readonly scans: readonly string[];
  readonly writes: readonly string[];
  readonly findings: readonly Finding[];
}

/** One migration of a plan. */
export interface PlannedMigration {
  readonly name: string;
  readonly statements: readonly PlannedStatement[];
  /** Upwards: what code of before would miss. Downwards: what goes. */
  readonly findings: readonly Finding[];
}

/** Which migrations, and which way. */
export interface PlanTask {
  readonly names: readonly string[];
  readonly direction: 'up' | 'down';
}

/** The plan from the texts alone: nothing runs. */
export const planFromText = ({ names, direction }: PlanTask): PlannedMigration[] => {
  const made = new Set<string>();
  return names.map((name) => {
    const statements = statementsOf(textOf(name)[direction]).map((sql) => {
      const statement = assumed(sql, textOf(name).online ?? isOnline(sql));
      const table = madeBy(sql);
      const locks = statement.locks.filter((lock) => !made.has(lock.table));
      if (table !== undefined) made.add(table);
      return { ...statement, locks };
    });
    return { name, statements, findings: [] };
  });
};

const textOf = (name: string): MigrationText => migrations[name] ?? { up: '', down: '' };

const assumed = (sql: string, online: boolean): PlannedStatement => {
  const lock = isOpaque(sql) ? undefined : assumedLock(sql);
  return {
    sql,
    transaction: online ? 'none' : 'shared',
    basis: 'assumed',
    locks: lock === undefined ? [] : [lock],
    rewrites: [],
    scans: [],
    writes: [],
    findings: [],
  };
};

/**
 * Runs the migrations over the connection and tells what each statement did. All in one transaction, which is rolled
 * back in the end; with `apart` (a database that nobody else uses) what cannot run in one is run between two.
 *
 * @throws MigrationFailed with Postgres' error; then too nothing is left
 */
export const planByRunning = async (
  client: pg.PoolClient,
  task: PlanTask,
  options: { readonly apart: boolean },
): Promise<PlannedMigration[]> => {
  const run = new Run(client, options.apart);
  await run.begin();
  try {
    const planned: PlannedMigration[] = [];
    for (const name of task.names) planned.push(await run.migration(name, task.direction));
    return planned;
  } finally {
    await client.query('rollback').catch(() => undefined);
  }
};

class Run {
  readonly #client: pg.PoolClient;
  readonly #apart: boolean;
  #observer: StatementObserver | undefined;
  #held = new Map<string, LockMode>();

  constructor(client: pg.PoolClient, apart: boolean) {
    this.#client = client;
    this.#apart = apart;
  }

  async begin(): Promise<void> {
    await this.#client.query('begin');
    this.#held = new Map();
    this.#observer = await observeStatements(this.#client);
  }

  async migration(name: string, direction: PlanTask['direction']): Promise<PlannedMigration> {
    const before = await readCatalogue(this.#client);
    const statements: PlannedStatement[] = [];
    try {
      const { online = false, [direction]: text } = textOf(name);
      for (const sql of statementsOf(text)) statements.push(await this.#statement(sql, online));
      if (online && this.#apart) await this.#commit();
    } catch (error) {
      throw new MigrationFailed(name, direction, error);
    }
    const after = await readCatalogue(this.#client);
    if (direction === 'down') return { name, statements, findings: losses(before, after) };
    const { allows } = textOf(name);
    return {
      name,
      statements: statements.map((one) => ({ ...one, findings: withReasons(one.findings, allows) })),
      findings: withReasons(breaches(before, after), allows),
    };
  }

  async #statement(sql: string, alone: boolean): Promise<PlannedStatement> {
    if (this.#apart && (alone || isOnline(sql))) await this.#commit();
    if (isOnline(sql)) {
      if (this.#apart) {
        await this.#client.query('rollback');
        await this.#client.query(sql);
        await this.begin();
      }
      return assumed(sql, true);
    }
    const seen = await this.#observer?.run(sql);
    if (seen === undefined) throw new Error('nothing has begun');
    for (const { table, mode } of seen.locks)
      if (isStronger(mode, this.#held.get(table))) this.#held.set(table, mode);
    const findings = hindrances(sql, seen, this.#held);
    return { sql, transaction: alone ? 'none' : 'shared', basis: 'observed', ...seen, findings };
  }

  async #commit(): Promise<void> {
    await this.#client.query('commit');
    await this.begin();
  }
}
