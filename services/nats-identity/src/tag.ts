import type { ClaimFault } from '@gatehouse/nats-claims';
import { type RawBuilder, sql } from 'kysely';

/**
 * Tags that servers would fill into a role's subjects (`{{tag(name)}}`) as wildcards. `before` may stay: an import
 * brought it.
 */
export function wildcardTags(tags: unknown, before: unknown): ClaimFault[] {
  if (!Array.isArray(tags)) return [];
  return tags.flatMap((tag, index) =>
    typeof tag !== 'string' || !wildcardToken.test(tag) || (Array.isArray(before) && before.includes(tag))
      ? []
      : [
          {
            path: `tags[${index}]`,
            message: 'A tag with a wildcard for a token would open more than a role says that names it.',
          },
        ],
  );
}

// The value begins after the first colon.
const wildcardToken = /(?:^|[\s.:])[*>](?:[\s.]|$)/;

/** Whether claims carry a tag, whatever its case: servers read tags in lower case. */
export function tagged(claims: string, tag: string): RawBuilder<boolean> {
  const exact = JSON.stringify([tag]);
  const lower = JSON.stringify([tag.toLowerCase()]);
  return sql<boolean>`(${sql.ref(claims)} -> 'tags' @> ${exact}::jsonb or ${sql.ref(claims)} -> 'tags' @> ${lower}::jsonb)`;
}
