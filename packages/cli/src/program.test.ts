import type { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { createProgram } from './program.ts';

const everyCommand = (command: Command, path = ''): [string, Command][] =>
  command.commands.flatMap((one) => {
    const name = `${path} ${one.name()}`.trim();
    return one.commands.length > 0 ? everyCommand(one, name) : [[name, one] as [string, Command]];
  });

const commands = everyCommand(createProgram());

/** Contract §9, and NIS' names. */
const promised = [
  ...['list', 'get', 'create', 'update', 'delete', 'import', 'export', 'server-config', 'resign'].map(
    (verb) => `operator ${verb}`,
  ),
  ...['operator key add', 'operator key remove', 'account key add', 'account key remove'],
  ...['list', 'get', 'create', 'update', 'delete', 'restore', 'activation', 'revocations'].map(
    (verb) => `account ${verb}`,
  ),
  ...['list', 'get', 'create', 'update', 'delete'].map((verb) => `role ${verb}`),
  ...['list', 'get', 'create', 'update', 'delete', 'revoke', 'restore', 'creds', 'credentials'].map(
    (verb) => `user ${verb}`,
  ),
  ...['list', 'get', 'create', 'update', 'delete', 'sync', 'diff', 'health', 'accounts'].map(
    (verb) => `cluster ${verb}`,
  ),
  ...['list', 'set', 'delete'].map((verb) => `allowance ${verb}`),
  ...['status', 'rotate', 'reencrypt', 'destroy'].map((verb) => `keys encryption ${verb}`),
];

describe('the command', () => {
  it('has every name that the contract promises', () => {
    expect(commands.map(([name]) => name)).toEqual(expect.arrayContaining(promised));
  });

  it.each(commands)(
    '%s: its help says what it does, with an example of itself that parses',
    (name, command) => {
      const help = helpOf(command);
      expect(command.description(), name).not.toBe('');
      expect(help).toMatch(/\nExamples?:\n/);
      const examples = help
        .slice(help.lastIndexOf('Example'))
        .split('\n')
        .filter((line) => line.includes(`gatehouse ${name}`));
      expect(examples.length).toBeGreaterThan(0);
      for (const example of examples) expect(parsesTo(example)).toBe(name);
    },
  );

  it('no option takes a secret: those come from files and standard input', () => {
    for (const [name, command] of commands)
      for (const { flags } of command.options)
        expect(flags, name).not.toMatch(
          /--\S*(?:password|secret|token|(?:seed|creds|jwt)(?!-file)\S* <(?!file>))/,
        );
  });
});

function helpOf(command: Command): string {
  let text = '';
  command.configureOutput({ writeOut: (part) => (text += part) });
  command.outputHelp();
  return text;
}

/** The command that an example would run; a mistake in its options throws. */
function parsesTo(example: string): string {
  const line = example.slice(example.indexOf('gatehouse ') + 'gatehouse '.length).split(/ [<>|] /)[0] ?? '';
  const words = [...line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(([, a, b, c]) => a ?? b ?? c ?? '');
  const program = createProgram();
  let ran = '';
  for (const [name, command] of everyCommand(program))
    command
      .action(() => {
        ran = name;
      })
      .exitOverride()
      .configureOutput({ writeErr: () => undefined });
  program.parse(words, { from: 'user' });
  return ran;
}
