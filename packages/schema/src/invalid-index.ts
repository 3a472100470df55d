import { type Kysely, sql } from 'kysely';

/**
 * Before `create index concurrently if not exists`: an index of that name that was broken off is there, is not valid,
 * and would be taken for what is wanted.
 */
export const dropInvalidIndex = async (db: Kysely<unknown>, statement: string): Promise<void> => {
  const found =
    /^create\s+(?:unique\s+)?index\s+concurrently\s+(?:if\s+not\s+exists\s+)?(\w+)\s+on\s+(?:only\s+)?(\w+)\.\w+/i.exec(
      statement,
    );
  const [, index, schema] = found ?? [];
  if (index === undefined || schema === undefined) return;
  const { rows } = await sql<{ name: string }>`
    select format('%I.%I', n.nspname, c.relname) as name
    from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = ${schema} and c.relname = ${index} and not i.indisvalid`.execute(db);
  for (const { name } of rows) await sql.raw(`drop index concurrently ${name}`).execute(db);
};
