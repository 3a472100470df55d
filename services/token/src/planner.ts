/**
 * Every statement of the hot paths reaches a few rows by a key. Plans of named statements are kept, and one made on the
 * first day, while a scan of the whole table is cheap, cost 50 times as much an hour later: until autovacuum came by.
 */
export const byKeysOnly: Readonly<Record<string, string>> = {
  plan_cache_mode: 'force_generic_plan',
  enable_seqscan: 'off',
  enable_bitmapscan: 'off',
  enable_hashjoin: 'off',
  enable_mergejoin: 'off',
  enable_material: 'off',
};
