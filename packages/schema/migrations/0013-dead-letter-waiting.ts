/**
 * The index of the dead letters that wait leaves out the discarded ones too, and is in the order of their list. Another
 * name, because the old one serves until the new one is there.
 */
const schemas = ['auth', 'token', 'audit', 'gateway', 'natsid'];

export const online = true;

export const up = schemas
  .map(
    (schema) => `
create index concurrently if not exists dead_letter_waiting on ${schema}.dead_letter (created_at, id)
  where replayed_at is null and discarded_at is null;
drop index concurrently if exists ${schema}.dead_letter_open;`,
  )
  .join('\n');

export const down = schemas
  .map(
    (schema) => `
create index concurrently if not exists dead_letter_open on ${schema}.dead_letter (created_at) where replayed_at is null;
drop index concurrently if exists ${schema}.dead_letter_waiting;`,
  )
  .join('\n');
