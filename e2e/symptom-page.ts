import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { repositoryRoot } from '@gatehouse/embedded';

/** What the commands of a section are for, as the page says it in bold before them. */
export const steps = ['Cause', 'Mend', 'Mended'] as const;
export type Step = (typeof steps)[number];

/** One section of docs/runbook.md about something that is wrong. */
export interface Symptom {
  /** Its heading: the name of the alert, or the symptom in words. */
  readonly name: string;
  /** Line of the page, from 1. */
  readonly line: number;
  /** A command a line of its code blocks; none where an act is described in words. */
  readonly commands: Readonly<Record<Step, readonly string[]>>;
  readonly text: string;
}

const page = () => readFileSync(join(repositoryRoot, 'docs/runbook.md'), 'utf8');
const chapters = ['## Alerts', '## Symptoms without an alert'];

/** The block of the page that names addresses and makes short words of long commands. */
export function preparation(): string {
  const block = [...page().matchAll(/^```bash\n([\s\S]*?)^```$/gm)].find(([, text]) =>
    text?.startsWith(': "${'),
  );
  if (block?.[1] === undefined) throw new Error('the page no longer says what to set before its commands');
  return block[1];
}

/** The sections of the page, in its order. */
export function symptoms(): Symptom[] {
  const found: { name: string; line: number; lines: string[] }[] = [];
  let inside = false;
  for (const [index, line] of page().split('\n').entries()) {
    if (line.startsWith('## ')) inside = chapters.includes(line);
    else if (!inside) continue;
    else if (line.startsWith('### ')) found.push({ name: line.slice(4).trim(), line: index + 1, lines: [] });
    else found.at(-1)?.lines.push(line);
  }
  return found.map(({ lines, ...about }) => ({
    ...about,
    commands: commandsOf(lines, about),
    text: lines.join('\n'),
  }));
}

/** The section with that heading. */
export function symptomNamed(name: string): Symptom {
  const found = symptoms().find((one) => one.name === name);
  if (found === undefined) throw new Error(`docs/runbook.md has no section ${name}`);
  return found;
}

/** The blocks of a section: each belongs to the bold word last said before it. */
function commandsOf(lines: readonly string[], about: { name: string; line: number }): Symptom['commands'] {
  const commands: Record<Step, string[]> = { Cause: [], Mend: [], Mended: [] };
  let step: Step | undefined;
  let inBlock = false;
  for (const line of lines) {
    if (line.startsWith('```')) {
      inBlock = !inBlock;
      if (inBlock && step === undefined)
        throw new Error(
          `${about.name} (line ${about.line}) has a block that is not of a cause, mend or mended`,
        );
    } else if (inBlock) commands[step ?? 'Cause'].push(line);
    else step = steps.find((one) => line.startsWith(`**${one}**`)) ?? step;
  }
  for (const step of steps) commands[step] = commands[step].map((line) => line.trim()).filter(isCommand);
  return commands;
}

const isCommand = (line: string): boolean => line !== '' && !line.startsWith('#');
