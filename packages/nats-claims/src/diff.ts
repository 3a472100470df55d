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
  if (Object.is(before, after)) return [];
  const comparable = isObject(before) && isObject(after) && Array.isArray(before) === Array.isArray(after);
  if (!comparable) return [{ path, before: before ?? null, after: after ?? null }];
  const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...keys].flatMap((key) =>
    diffClaims(before[key], after[key], join(path, key, Array.isArray(before))),
  );
}

function join(path: string, key: string, index: boolean): string {
  if (index) return `${path}[${key}]`;
  const plain = /^[A-Za-z_][\w]*$/.test(key);
  if (!plain) return `${path}[${JSON.stringify(key)}]`;
  return path === '' ? key : `${path}.${key}`;
}
