/** What may need a closer look: escapes, backslashes, double slashes, dot segments. */
const suspicious = /[%\\]|\/\/|\/\.{1,2}(?:\/|$)/;
const unwanted = /\\|\/\/|\/\.{1,2}(?:\/|$)/;
/** An escaped slash stays escaped in one router and is a slash in another: no route of ours has one. */
const escapedDelimiter = /%(?:2f|5c|2e)/i;

/**
 * The path of a request as every router behind us reads it, or undefined when two readers could disagree about it:
 * then it is nobody's path. Limits, the table of upstreams and the routes of both modes all go by this one reading, so
 * that no spelling of an address leads around a limit or to /internal.
 */
export function edgePath(url: string): string | undefined {
  const end = url.search(/[?#]/);
  const raw = end === -1 ? url : url.slice(0, end);
  if (!suspicious.test(raw)) return raw;
  if (unwanted.test(raw) || escapedDelimiter.test(raw)) return undefined;
  try {
    const decoded = decodeURIComponent(raw);
    return unwanted.test(decoded) ? undefined : decoded;
  } catch {
    return undefined;
  }
}
