import { memberPath } from './claim-fault.ts';

/** One difference between two claims. */
export interface ClaimChange {
  /** Where, as in `limits.conn` or `exports[2].subject`. */
  readonly path: string;
  /** null: was not there. */
  readonly before: unknown;
  /** null: is no more. */
  readonly after: unknown;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null;

/** What differs between two `nats` sections, leaf by leaf, in the order of the paths' first appearance. */
export function diffClaims(before: unknown, after: unknown, path = ''): ClaimChange[] {
  if (before === after) return [];
  const comparable = isObject(before) && isObject(after) && Array.isArray(before) === Array.isArray(after);
  if (!comparable) return [{ path, before: before ?? null, after: after ?? null }];
  const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
  const list = Array.isArray(before);
  return [...keys].flatMap((key) =>
    diffClaims(own(before, key), own(after, key), memberPath(path, list ? Number(key) : key)),
  );
}

/** Never what a prototype has: claims may have a member named `constructor`. */
const own = (value: Record<string, unknown>, key: string): unknown =>
  Object.hasOwn(value, key) ? value[key] : undefined;
