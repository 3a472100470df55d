/**
 * The one text of a JSON value (RFC 8785, JCS): keys sorted by UTF-16 code units, no white space, numbers and strings as
 * ECMAScript writes them. Two databases, two years and two programs must hash the same bytes.
 * @throws TypeError for what JSON cannot hold (undefined, functions, NaN, infinities)
 */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new TypeError('a number that JSON cannot hold');
    return JSON.stringify(value);
  }
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object') throw new TypeError(`a ${typeof value} is not JSON`);
  const object = value as Record<string, unknown>;
  let text = '';
  // Every event passes here: one text that grows, rather than lists of its parts.
  for (const key of Object.keys(object).sort()) {
    const field = object[key];
    if (field !== undefined)
      text += `${text === '' ? '' : ','}${JSON.stringify(key)}:${canonicalJson(field)}`;
  }
  return `{${text}}`;
}
