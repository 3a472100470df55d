/**
 * When somebody decided that a dead letter will never be taken. It stays, with its payload, as one that was replayed
 * does; the release of before goes on to list it among those that wait.
 */
const schemas = ['auth', 'token', 'audit', 'gateway', 'natsid'];

export const up = schemas
  .map((schema) => `alter table ${schema}.dead_letter add column discarded_at timestamptz;`)
  .join('\n');

// Whoever discarded one finds it among those that wait again.
export const down = schemas
  .map((schema) => `alter table ${schema}.dead_letter drop column discarded_at;`)
  .join('\n');
