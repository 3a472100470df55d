/** A server that could not be started or found. `message` is one line: the cause, and what to do about it. */
export class EmbeddedError extends Error {
  override name = 'EmbeddedError';
}

/** What a caught value says, on one line. */
export function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split('\n', 1)[0] ?? text;
}
