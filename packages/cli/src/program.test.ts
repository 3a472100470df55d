import type { Command, Option } from 'commander';
import { describe, expect, it } from 'vitest';
import { examplesOf, helpOf } from './group-examples.ts';
import { createProgram } from './program.ts';

const everyCommand = (command: Command, path = ''): [string, Command][] =>
  command.commands.flatMap((one) => {
    const name = `${path} ${one.name()}`.trim();
    return one.commands.length > 0 ? everyCommand(one, name) : [[name, one] as [string, Command]];
  });

const program = createProgram();
const commands = everyCommand(program);

/** Groups such as `keys`, and the command itself. */
const everyGroup = (command: Command, path = ''): [string, Command][] =>
  command.commands
    .filter((one) => one.commands.length > 0)
    .flatMap((one) => {
      const name = `${path} ${one.name()}`.trim();
      return [[name, one] as [string, Command], ...everyGroup(one, name)];
    });
const groups: [string, Command][] = [['gatehouse', program], ...everyGroup(program)];

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
  ...['list', 'show', 'create', 'set-role', 'lock', 'unlock', 'activate', 'disable', 'enable'].map(
    (verb) => `admin user ${verb}`,
  ),
  ...['reset-lockout', 'revoke-sessions', 'delete'].map((verb) => `admin user ${verb}`),
  ...['list', 'show', 'create', 'rename', 'set-policy', 'disable', 'enable', 'delete'].map(
    (verb) => `admin tenant ${verb}`,
  ),
  'admin tenant cancel-deletion',
  ...['up', 'up-by-one', 'down', 'down-to', 'status', 'version', 'plan', 'create'].map(
    (verb) => `migrate ${verb}`,
  ),
  ...['sessions', 'end-session'].map((verb) => `database ${verb}`),
  ...['list', 'show', 'add', 'use', 'remove'].map((verb) => `profile ${verb}`),
  ...['login', 'logout', 'whoami', 'doctor', 'completion'],
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

  it.each(groups)('%s: its help says what it is for, with an example', (_name, command) => {
    expect(command.description()).not.toBe('');
    expect(examplesOf(command).length).toBeGreaterThan(0);
  });

  it('every option and every argument is described', () => {
    for (const [name, command] of [...commands, ...groups]) {
      for (const { description, flags } of command.options)
        expect(description, `${name} ${flags}`).not.toBe('');
      for (const argument of command.registeredArguments)
        expect(argument.description, `${name} ${argument.name()}`).not.toBe('');
    }
  });

  it.each(commands)('%s: takes --json, --quiet, --url and --profile, before and after its name', (name) => {
    const globals = ['--json', '--quiet', '--no-color', '--url', 'http://localhost:1', '--profile', 'x'];
    const example = wordsOf(examplesOf(found(name))[0] ?? '');
    for (const words of [
      [...globals, ...example],
      [...example, ...globals],
    ]) {
      const { ran, options } = parsed(words);
      expect(ran).toBe(name);
      expect(options).toMatchObject({ json: true, quiet: true, color: false, profile: 'x' });
    }
  });

  it('no option takes a secret: those come from files and standard input', () => {
    for (const [name, command] of commands)
      for (const { flags } of command.options.filter(takesText))
        expect(flags, name).not.toMatch(/--\S*(?:password|secret|token|seed|creds|jwt)/);
  });
});

/** Not a flag, and not the name of a file or a folder. */
const takesText = ({ required, optional, flags }: Option): boolean =>
  (required || optional) && !/[<[](?:file|folder|path)/.test(flags);

const found = (name: string): Command => new Map(commands).get(name) ?? program;

/** The command that an example would run; a mistake in its options throws. */
const parsesTo = (example: string): string => parsed(wordsOf(example)).ran;

function wordsOf(example: string): string[] {
  const line = example.slice(example.indexOf('gatehouse ') + 'gatehouse '.length).split(/ [<>|] /)[0] ?? '';
  return [...line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(([, a, b, c]) => a ?? b ?? c ?? '');
}

function parsed(words: readonly string[]): { ran: string; options: Record<string, unknown> } {
  const fresh = createProgram();
  let ran = '';
  let options = {};
  for (const [name, command] of everyCommand(fresh))
    command
      .action(() => {
        ran = name;
        options = command.optsWithGlobals();
      })
      .exitOverride()
      .configureOutput({ writeErr: () => undefined });
  withoutHooks(fresh).parse([...words], { from: 'user' });
  return { ran, options };
}

/** Which installation is meant is not asked here: the profiles of whoever runs this are not to matter. */
function withoutHooks(command: Command): Command {
  Object.assign(command, { _lifeCycleHooks: {} });
  return command;
}
