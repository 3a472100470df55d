import { CommanderError } from 'commander';
import { coloured } from './colour.ts';
import { type ExitCode, Fault } from './fault.ts';
import { clean } from './output.ts';

/**
 * Tells an error on standard error, and says the exit code for it. With `--json` it is one line of JSON, so that
 * standard output stays empty and a program still learns the code; without, a sentence with its details below.
 */
export function reportError(error: unknown, json: boolean): ExitCode {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2; // commander has told it
  const fault = error instanceof Fault ? error : undefined;
  const exitCode = fault?.exitCode ?? 1;
  const said = error instanceof Error ? (error.message.split('\n', 1)[0] ?? '') : '';
  const title = said || 'failed';
  const details = fault?.details ?? [];
  if (json) {
    console.error(JSON.stringify({ title, ...fault?.problem, details, exit_code: exitCode }));
    return exitCode;
  }
  console.error(`${coloured('red', 'gatehouse:', process.stderr)} ${clean(title)}`);
  for (const line of details) console.error(`  ${clean(line)}`);
  return exitCode;
}

/** Tells wrong usage as commander words it. */
export function reportUsage(text: string, json: boolean, write: (text: string) => void): void {
  if (!json) write(text);
  else write(`${JSON.stringify({ title: text.trim().split('\n').join(' '), details: [], exit_code: 2 })}\n`);
}

/** Says something that does not stop the command, beside its output. */
export function warn(text: string): void {
  console.error(`${coloured('yellow', 'gatehouse: warning:', process.stderr)} ${clean(text)}`);
}
