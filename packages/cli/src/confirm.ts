import { createInterface } from 'node:readline/promises';
import { StringDecoder } from 'node:string_decoder';
import { Fault, interrupted } from './fault.ts';

/** Asks before what cannot be undone; without a terminal it needs --yes. Questions go to standard error. */
export async function confirm(question: string, yes: boolean | undefined): Promise<void> {
  if (yes) return;
  if (!process.stdin.isTTY) throw new Fault(`${question} Say --yes to do it without a terminal.`, 2);
  const answer = await ask(`${question} [y/N] `);
  if (!/^y(es)?$/i.test(answer.trim())) throw new Fault('not done');
}

/** One line from the terminal. Ctrl-C interrupts; the end of the input (Ctrl-D) is an empty answer. */
async function ask(question: string): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await new Promise<string>((resolve, reject) => {
      terminal.once('SIGINT', () => {
        terminal.removeAllListeners('close');
        process.stderr.write('\n');
        reject(interrupted());
      });
      terminal.once('close', () => {
        process.stderr.write('\n');
        resolve('');
      });
      terminal.question(question).then((answer) => {
        terminal.removeAllListeners('close');
        resolve(answer);
      }, reject);
    });
  } finally {
    terminal.close();
  }
}

/** Reads a password: GATEHOUSE_PASSWORD, a terminal without echo, or the first line of standard input. Never an argument. */
export async function readPassword(): Promise<string> {
  const given = process.env.GATEHOUSE_PASSWORD;
  if (given) return given;
  return process.stdin.isTTY ? fromTerminal() : fromStandardInput();
}

/**
 * Reads the password of a new account: GATEHOUSE_NEW_PASSWORD, or as {@link readPassword} when it is to be asked for.
 * Undefined: none was given, the platform makes one.
 */
export async function readNewPassword(asked: boolean): Promise<string | undefined> {
  const given = process.env.GATEHOUSE_NEW_PASSWORD;
  if (given) return given;
  if (!asked) return undefined;
  return process.stdin.isTTY ? fromTerminal() : fromStandardInput();
}

async function fromStandardInput(): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer);
  const line = Buffer.concat(chunks).toString('utf8').split('\n', 1)[0]?.replace(/\r$/, '') ?? '';
  if (line === '') throw new Fault('no password: type it, pipe it, or set GATEHOUSE_PASSWORD', 2);
  return line;
}

async function fromTerminal(): Promise<string> {
  process.stderr.write('Password: ');
  process.stdin.setRawMode(true);
  // A character may come in two pieces.
  const decoder = new StringDecoder('utf8');
  const typed: string[] = [];
  try {
    for await (const chunk of process.stdin) {
      for (const character of decoder.write(chunk as Buffer)) {
        if (character === '\r' || character === '\n' || character === '\u0004') return typed.join('');
        if (character === '\u0003') throw interrupted();
        if (character === '\u007f' || character === '\b') typed.pop();
        else if (character === '\u0015') typed.length = 0;
        else typed.push(character);
      }
    }
    return typed.join('');
  } finally {
    process.stdin.setRawMode(false);
    process.stdin.pause();
    process.stderr.write('\n');
  }
}
