/** A refusal to show in one line; `exitCode` 1 means refused, 2 wrong usage. */
export class Fault extends Error {
  readonly exitCode: 1 | 2;
  constructor(message: string, exitCode: 1 | 2 = 1) {
    super(message);
    this.name = 'Fault';
    this.exitCode = exitCode;
  }
}
