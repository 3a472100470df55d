/** A refusal to show in one line; `exitCode` 1 means refused, 2 wrong usage. */
export class Fault extends Error {
  readonly exitCode: 1 | 2;
  /** What is wrong in particular, a line each, shown below the message. */
  readonly details: readonly string[];
  constructor(message: string, exitCode: 1 | 2 = 1, details: readonly string[] = []) {
    super(message);
    this.name = 'Fault';
    this.exitCode = exitCode;
    this.details = details;
  }
}
