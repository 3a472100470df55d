import { type RawBuilder, sql } from 'kysely';
import Type from 'typebox';
import { SearchText } from './name.ts';

/** `?q=` of every list. */
export const searchQuery = { q: Type.Optional(SearchText) };

/** `q` is part of the name, whatever its case, or how the public key begins. No character of it is a wildcard. */
export function namedLike(name: string, publicKey: string, q: string): RawBuilder<boolean> {
  return sql<boolean>`(strpos(lower(${sql.ref(name)}), lower(${q})) > 0 or starts_with(${sql.ref(publicKey)}, ${q}))`;
}
