import { type RawBuilder, sql } from 'kysely';

/** Whether claims carry a tag, whatever its case: servers read tags in lower case. */
export function tagged(claims: string, tag: string): RawBuilder<boolean> {
  const exact = JSON.stringify([tag]);
  const lower = JSON.stringify([tag.toLowerCase()]);
  return sql<boolean>`(${sql.ref(claims)} -> 'tags' @> ${exact}::jsonb or ${sql.ref(claims)} -> 'tags' @> ${lower}::jsonb)`;
}
