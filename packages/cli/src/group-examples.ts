import type { Command } from 'commander';

const SHOWN_MAX = 4;

/** Gives every group of commands the first example of each of its commands, so that `--help` helps there too. */
export function addGroupExamples(program: Command): void {
  for (const command of program.commands) {
    if (command.commands.length === 0) continue;
    addGroupExamples(command);
    command.addHelpText('after', () => {
      const shown = command.commands.flatMap(firstExample).slice(0, SHOWN_MAX);
      return `\nExample${shown.length === 1 ? '' : 's'}:\n${shown.join('\n')}\n`;
    });
  }
}

/** The first line of a command's help that begins with the command itself. */
function firstExample(command: Command): string[] {
  const found = examplesOf(command)[0];
  return found === undefined ? [] : [found];
}

/** The lines below "Example:" of a command's help. */
export function examplesOf(command: Command): string[] {
  const help = helpOf(command);
  const at = help.search(/^Examples?:$/m);
  return at === -1
    ? []
    : help
        .slice(at)
        .split('\n')
        .filter((line) => /^ {2}(?:\S+=\S+ )*gatehouse /.test(line));
}

/** Everything that `--help` shows of a command. */
export function helpOf(command: Command): string {
  let text = '';
  const before = command.configureOutput();
  command.configureOutput({ ...before, writeOut: (part) => (text += part) });
  command.outputHelp();
  command.configureOutput(before);
  return text;
}
