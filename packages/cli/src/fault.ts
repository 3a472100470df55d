/**
 * How the command ends: 0 done, 1 refused or failed, 2 wrong usage, 130 interrupted (Ctrl-C), 141 the reader of its
 * output went away (`| head`).
 */
export type ExitCode = 0 | 1 | 2 | 130 | 141;

/** A refusal to show in one line; `exitCode` 1 means refused, 2 wrong usage, 130 interrupted. */
export class Fault extends Error {
  readonly exitCode: 1 | 2 | 130;
  /** What is wrong in particular, a line each, shown below the message. */
  readonly details: readonly string[];
  constructor(message: string, exitCode: 1 | 2 | 130 = 1, details: readonly string[] = []) {
    super(message);
    this.name = 'Fault';
    this.exitCode = exitCode;
    this.details = details;
  }

  /** Members of the problem document that `--json` shows besides `title`, `details` and `exit_code`. */
  get problem(): Readonly<Record<string, unknown>> {
    return {};
  }
}

/** Ctrl-C at a question: what the shell shows for a program that the same key ended. */
export const interrupted = (): Fault => new Fault('interrupted', 130);
