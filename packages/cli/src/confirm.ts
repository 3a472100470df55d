import { createInterface } from 'node:readline/promises';
import { Fault } from './fault.ts';

/** Asks before what cannot be undone; without a terminal it needs --yes. */
export async function confirm(question: string, yes: boolean | undefined): Promise<void> {
  if (yes) return;
  if (!process.stdin.isTTY) throw new Fault(`${question} Say --yes to do it without a terminal.`, 2);
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question(`${question} [y/N] `);
    if (!/^y(es)?$/i.test(answer.trim())) throw new Fault('not done');
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
  let typed = '';
  try {
    for await (const chunk of process.stdin) {
      for (const character of (chunk as Buffer).toString('utf8')) {
        if (character === '\r' || character === '\n') return typed;
        if (character === '\u0003') throw new Fault('not done');
        typed = character === '\u007f' ? typed.slice(0, -1) : typed + character;
      }
    }
    return typed;
  } finally {
    process.stdin.setRawMode(false);
    process.stdin.pause();
    process.stderr.write('\n');
  }
}
