import { describe, expect, it } from 'vitest';
import { migrations } from '../migrations/index.ts';
import { bareText, isOnline, statementsOf, withinTransaction } from './statements.ts';

describe('SQL text taken apart', () => {
  it.each([
    ['at semicolons', 'select 1; select 2;\n', ['select 1', 'select 2']],
    [
      'not within quotes',
      `select ';', "a;b", 'it''s;'; select 2`,
      [`select ';', "a;b", 'it''s;'`, 'select 2'],
    ],
    [
      'not behind a backslash of e-strings',
      `select e'\\';', ';'; select 2`,
      [`select e'\\';', ';'`, 'select 2'],
    ],
    ['where a backslash hides nothing', `select '\\'; select 2`, [`select '\\'`, 'select 2']],
    [
      'not within comments',
      'select 1 -- a;b\n, 2; select /* ; /* ; */ ; */ 3',
      ['select 1 -- a;b\n, 2', 'select /* ; /* ; */ ; */ 3'],
    ],
    ['without comments before a statement', '-- why\n/* and how */ select 1;\n-- the end', ['select 1']],
    [
      'not within dollar quotes',
      'do $do$ begin; $$;$$ end $do$; select $1;',
      ['do $do$ begin; $$;$$ end $do$', 'select $1'],
    ],
    [
      'not within the body of a SQL function',
      'create function f() returns int begin atomic select case when true then 1 end; select 2; end; select 3',
      [
        'create function f() returns int begin atomic select case when true then 1 end; select 2; end',
        'select 3',
      ],
    ],
    ['of nothing is nothing', '\n-- nothing;\n;;', []],
  ])('%s', (_, text, statements) => expect(statementsOf(text)).toEqual(statements));

  it('has no statement of a migration that ends in the middle or begins with a comment', () => {
    for (const [name, { up, down }] of Object.entries(migrations))
      for (const statement of [...statementsOf(up), ...statementsOf(down)])
        expect(statement, name).toMatch(
          /^(?:create|alter|drop|insert|update|delete|grant|revoke|select|do)\b/i,
        );
  });
});

it('words are looked for outside of quotes and comments', () => {
  expect(
    bareText(
      `ALTER TABLE a -- drop table\n ADD b text default 'drop table' /* x */ check ("drop" = $$ drop $$)`,
    ),
  ).toBe('alter table a add b text default check ( = )');
});

it('what works in transactions of its own is told apart, and can be built within one', () => {
  const online = [
    'create index concurrently if not exists a on b.c (d)',
    'CREATE UNIQUE INDEX\n  CONCURRENTLY a on b (c)',
    'drop index concurrently a.b',
    'reindex (verbose) index concurrently a',
    'alter table a.b detach partition a.c concurrently',
    'vacuum a',
  ];
  expect(online.filter((statement) => !isOnline(statement))).toEqual([]);
  for (const text of ['create index a on b (c)', `select 'create index concurrently'`, 'reindex table a'])
    expect(isOnline(text)).toBe(false);
  expect(withinTransaction('create index concurrently a on b (c)')).toBe('create index a on b (c)');
  expect(withinTransaction(`select ' concurrently'`)).toBe(`select ' concurrently'`);
});
