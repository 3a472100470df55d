import { Problem } from './problem.ts';

/** Levels of nesting that a body may have. */
const depthMax = 32;

// A reviver-free parse, then one walk only when the text holds something that may need refusing.
const suspicious =
  /\\u(?:0000|d[89a-f][0-9a-f]{2})|__proto__|constructor|[\ud800-\udfff]|\\u00(?:5f|63|6[0-9a-f]|7[0-9a-f])/i;

/**
 * Parses a JSON body. NUL, lone surrogates, `__proto__` and `constructor` keys (spelled or escaped) and nesting deeper
 * than 32 levels are refused; of duplicate keys the last wins, as everywhere in JavaScript, and there is one parser.
 * @throws Problem `invalid_json` or `invalid_text`.
 */
export function parseJson(body: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    throw new Problem('invalid_json');
  }
  const nested = (body.match(/[[{]/g)?.length ?? 0) > depthMax;
  if (nested || suspicious.test(body)) refuse(value, 0);
  return value;
}

function refuse(value: unknown, depth: number): void {
  if (typeof value === 'string') refuseText(value);
  if (typeof value !== 'object' || value === null) return;
  if (depth >= depthMax)
    throw new Problem('invalid_json', { detail: `The body is nested deeper than ${depthMax} levels.` });
  for (const [key, item] of Object.entries(value)) {
    if (key === '__proto__' || key === 'constructor') throw new Problem('invalid_json');
    refuseText(key);
    refuse(item, depth + 1);
  }
}

/** @throws Problem `invalid_text` when the text holds NUL or a lone surrogate; Postgres could not store it. */
export function refuseText(value: string): void {
  if (value.includes('\u0000') || !value.isWellFormed()) throw new Problem('invalid_text');
}
