import type { SchemaName } from './service-name.ts';

/** Postgres ends a statement that takes longer. */
export const STATEMENT_TIMEOUT_MS = 10_000;

/**
 * Every statement of the token service's hot paths reaches a few rows by a key. Plans of named statements are kept, and
 * one made on the first day, while a scan of the whole table is cheap, cost 50 times as much an hour later: until
 * autovacuum came by.
 */
const byKeysOnly = {
  plan_cache_mode: 'force_generic_plan',
  enable_seqscan: 'off',
  enable_bitmapscan: 'off',
  enable_hashjoin: 'off',
  enable_mergejoin: 'off',
  enable_material: 'off',
};

const ofService: Readonly<Partial<Record<SchemaName, Readonly<Record<string, string>>>>> = {
  token: byKeysOnly,
  // Bitmaps of a search stay exact, and an index costs what it does on a disk without a head.
  audit: { work_mem: '16MB', random_page_cost: '1.1' },
};

/**
 * What Postgres is told for each session of a service. In the start-up packet where a connection is a session; as the
 * settings of its login (`alter role … set`) where a pooler lends connections by the transaction. Values are written as Postgres shows them.
 */
export const sessionSettings = (service: SchemaName): Readonly<Record<string, string>> => ({
  statement_timeout: `${STATEMENT_TIMEOUT_MS / 1000}s`,
  // A transaction whose process hangs must not hold its locks for ever.
  idle_in_transaction_session_timeout: '30s',
  timezone: 'UTC',
  // Compiling a plan takes longer than any query we have.
  jit: 'off',
  ...ofService[service],
  search_path: service,
});
