/** SQLSTATE classes and codes that mean the server is going, gone or full: trying again later is right. */
const states = /^(?:08|57P|53)/;
const codes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOENT',
  'ENOTFOUND',
  'EAI_AGAIN',
]);
const messages =
  /Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error|Query read timeout|connection is closed|Cannot use a pool after/i;

/** Whether an error says that Postgres could not be reached, rather than that a statement was wrong. */
export function isConnectivityError(error: unknown): boolean {
  if (!(error instanceof Error) || /^unsupported startup parameter/.test(error.message)) return false;
  const { code } = error as { code?: unknown };
  if (typeof code === 'string' && (states.test(code) || codes.has(code))) return true;
  if (messages.test(error.message)) return true;
  return error.cause !== undefined && isConnectivityError(error.cause);
}
