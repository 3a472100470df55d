import { afterAll, beforeAll, expect, it } from 'vitest';
import type { MigrationText } from '../migrations/index.ts';
import { addToHistory } from './history-testing.ts';
import type { TestDatabase } from './test-database.ts';

const before: MigrationText = {
  up: `
    create table auth.sample (id uuid primary key, name text not null default '', number integer, email text unique);
    create table auth.other (id uuid primary key);
    create function auth.sampled(one int) returns int language sql return one;
  `,
  down: '',
};

const cases: readonly (readonly [sql: string, ...findings: string[]])[] = [
  // Allowed: what adds.
  ['alter table auth.sample add column note text'],
  [`alter table auth.sample add column note text not null default ''`],
  ['create table auth.third (id uuid primary key, sample uuid not null)'],
  ['alter table auth.sample alter column name drop not null'],
  ['create index concurrently sample_name on auth.sample (name)'],
  ['create or replace function auth.sampled(one int) returns int language sql return one + 1'],
  [`alter table auth.sample alter column name set default 'x'`],
  // What stops traffic.
  ['create index sample_name on auth.sample (name)', 'scans-under-lock auth.sample'],
  [
    'alter table auth.sample alter column number type bigint',
    'rewrites auth.sample',
    'column-retyped auth.sample.number',
  ],
  [
    `alter table auth.sample add column made timestamptz not null default clock_timestamp()`,
    'rewrites auth.sample',
  ],
  [
    'alter table auth.sample alter column number set not null',
    'scans-under-lock auth.sample',
    'column-required auth.sample.number',
  ],
  [
    'alter table auth.sample add check (number > 0)',
    'scans-under-lock auth.sample',
    'constraint-new auth.sample',
  ],
  ['alter table auth.sample add check (number > 0) not valid', 'constraint-new auth.sample'],
  ['alter table auth.sample add unique (number)', 'scans-under-lock auth.sample', 'unique-new auth.sample'],
  [`update auth.sample set name = 'x'`, 'changes-rows auth.sample'],
  ['delete from auth.sample', 'changes-rows auth.sample'],
  ['truncate auth.sample', 'rewrites auth.sample'],
  [
    'lock table auth.other; create index sample_name on auth.sample (name)',
    'scans-under-lock auth.sample',
    'held-meanwhile auth.other',
  ],
  // What breaks the release that runs.
  ['drop table auth.sample', 'table-gone auth.sample'],
  ['alter table auth.sample rename to sampled', 'table-gone auth.sample'],
  ['alter table auth.sample drop column name', 'column-gone auth.sample.name'],
  ['alter table auth.sample rename column name to called', 'column-gone auth.sample.name'],
  ['alter table auth.sample alter column name drop default', 'column-required auth.sample.name'],
  ['drop function auth.sampled(int)', 'function-gone auth.sampled(one integer)'],
  ['revoke insert on auth.sample from gatehouse_auth', 'right-gone gatehouse_auth: insert on auth.sample'],
  ['alter table auth.sample drop constraint sample_email_key', 'unique-gone auth.sample'],
  // Where a text alone would not show it.
  [
    `do $$ begin execute 'alter table auth.' || 'sample drop column name'; end $$`,
    'column-gone auth.sample.name',
  ],
];

const nameOf = (at: number) => `90${String(at + 1).padStart(2, '0')}-case`;
addToHistory({
  '9000-before': before,
  ...Object.fromEntries(cases.map(([up], at) => [nameOf(at), { up, down: '' }])),
});

let database: TestDatabase;
beforeAll(async () => {
  const { createTestDatabase } = await import('./test-database.ts');
  const { migrateUp } = await import('./migrate.ts');
  database = await createTestDatabase();
  await migrateUp(database.url, { to: '9000-before' });
  await database.query(`insert into auth.sample select gen_random_uuid(), 'n', 1, 'e'`);
});
afterAll(() => database.drop());

it('each rule tells what it is for, and nothing else', async () => {
  const { planByRunning } = await import('./plan.ts');
  const { withClient, withDatabase } = await import('./migrate.ts');
  await withDatabase(database.url, (_db, pool) =>
    withClient(pool, async (client) => {
      for (const [at, [sql, ...expected]] of cases.entries()) {
        const [planned] = await planByRunning(
          client,
          { names: [nameOf(at)], direction: 'up' },
          { apart: false },
        );
        const found = [
          ...(planned?.statements.flatMap(({ findings }) => findings) ?? []),
          ...(planned?.findings ?? []),
        ];
        expect(found.map(({ rule, on }) => `${rule} ${on}`).sort(), sql).toEqual([...expected].sort());
      }
    }),
  );
});
