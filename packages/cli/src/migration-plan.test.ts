import type { MigrationPlan, PlannedStatement } from '@gatehouse/schema';
import { expect, it } from 'vitest';
import { describePlan, planAsJson, warningsOf } from './migration-plan.ts';

const statement = (about: Partial<PlannedStatement>): PlannedStatement => ({
  sql: 'create index a on auth.sample (b)',
  transaction: 'shared',
  basis: 'observed',
  locks: [],
  rewrites: [],
  scans: [],
  writes: [],
  findings: [],
  ...about,
});

const built = statement({
  locks: [{ table: 'auth.sample', mode: 'SHARE' }],
  scans: ['auth.sample'],
  findings: [{ rule: 'scans-under-lock', on: 'auth.sample', sentence: 'it is read', remedy: 'mend it' }],
});

const planOf = (rows: number | null, statements: readonly PlannedStatement[] = [built]): MigrationPlan => ({
  direction: 'up',
  basis: 'scratch',
  databaseVersion: '0010-before',
  migrations: [{ name: '0011-sample', statements, findings: [] }],
  sizes: new Map([['auth.sample', { rows, bytes: 3_250_000 }]]),
});

it('a small table is no warning, a large one is, and so is one whose size nobody knows', () => {
  expect(warningsOf(planOf(9_999))).toEqual([]);
  expect(warningsOf(planOf(10_000))).toHaveLength(1);
  expect(warningsOf({ ...planOf(1), sizes: new Map() })).toHaveLength(1);
});

it('what a migration has declared is told with its reason, and is no warning', () => {
  const declared = statement({ findings: built.findings.map((one) => ({ ...one, allowed: 'it is empty' })) });
  const plan = planOf(1_000_000, [declared]);
  expect(warningsOf(plan)).toEqual([]);
  expect(describePlan(plan, false)).toContain('~ it is read; meant so: it is empty');
});

it('says of each statement what it locks, since when, and of which size', () => {
  const again = statement({ sql: 'create index c on auth.sample (d)', scans: ['auth.sample'] });
  const alone = statement({
    sql: 'create index concurrently e on auth.sample (f)',
    transaction: 'none',
    basis: 'assumed',
    locks: [{ table: 'auth.sample', mode: 'SHARE UPDATE EXCLUSIVE' }],
  });
  expect(
    describePlan(planOf(1_200_000, [built, again, alone]), false),
  ).toBe(`1 migration to apply; the database is at 0010-before
found by running them in a scratch database of the same schema; sizes are those of the real one
a lock is held to the end of its transaction, which the migrations share

0011-sample
  0011.1  create index a on auth.sample (b)
      - SHARE on auth.sample (1,200,000 rows, 3.1 MB): no writes
      - reads auth.sample (1,200,000 rows, 3.1 MB)
      ! it is read: mend it
  0011.2  create index c on auth.sample (d)
      - reads auth.sample (1,200,000 rows, 3.1 MB), under SHARE since 0011.1
  0011.3  create index concurrently e on auth.sample (f)
      - in no transaction: each run commits by itself
      - SHARE UPDATE EXCLUSIVE on auth.sample (1,200,000 rows, 3.1 MB): reads and writes go on

1 warning`);
});

it('cuts a long statement unless it is wanted whole', () => {
  const long = planOf(1, [statement({ sql: 'create table a (\n  -- why\n  b int,\n  c int,\n  d int\n)' })]);
  expect(describePlan(long, false)).toContain(
    'create table a (\n        b int,\n      … 3 more lines: --full shows them',
  );
  expect(describePlan(long, true)).toContain('  -- why\n');
});

it('is one JSON document with whole statements and the sizes of the tables that it touches', () => {
  expect(planAsJson(planOf(null))).toMatchObject({
    direction: 'up',
    database_version: '0010-before',
    migrations: [{ name: '0011-sample', statements: [{ sql: built.sql, locks: built.locks }], warnings: [] }],
    tables: { 'auth.sample': { rows: null, bytes: 3_250_000 } },
  });
});
