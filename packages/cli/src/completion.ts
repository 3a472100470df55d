import type { Argument, Command, Option } from 'commander';

/** What may be typed at one place of the command: the words of the shell completion are made of these. */
export interface Place {
  /** The words that lead here, without the command's own name: `['keys', 'encryption']`. */
  readonly path: readonly string[];
  readonly commands: readonly Named[];
  /** Of this command and of all above it. */
  readonly options: readonly CompletedOption[];
  /** What the first argument may be, where it is one of a few. */
  readonly argument: Value | undefined;
}

/** A word and what it means. */
export interface Named {
  readonly name: string;
  readonly description: string;
}

/** An option as the shells need it. */
export interface CompletedOption extends Named {
  /** What follows it; undefined for a flag. */
  readonly value: Value | undefined;
}

/** What a value may be. `any`: nothing can be proposed. */
export type Value =
  | { readonly kind: 'choices'; readonly choices: readonly string[] }
  | { readonly kind: 'file' | 'folder' | 'profile' | 'any' };

/** Every place of a command, the command itself first. */
export function placesOf(program: Command): Place[] {
  const found: Place[] = [];
  const walk = (command: Command, path: readonly string[], inherited: readonly CompletedOption[]) => {
    const options = [...inherited, ...command.options.filter(({ hidden }) => !hidden).map(optionOf)];
    const help = { name: '--help', description: 'show what a command does, with examples', value: undefined };
    found.push({
      path,
      commands: command.commands.map((one) => ({
        name: one.name(),
        description: firstWords(one.description()),
      })),
      options: [...options, help],
      argument: argumentOf(command.registeredArguments[0]),
    });
    // The version is the command's own: below it nothing answers to it.
    const passedOn = options.filter(({ name }) => name !== '--version');
    for (const one of command.commands) walk(one, [...path, one.name()], passedOn);
  };
  walk(program, [], []);
  return found;
}

function optionOf(option: Option): CompletedOption {
  const takes = option.required || option.optional;
  return {
    name: option.long ?? option.short ?? '',
    description: firstWords(option.description),
    value: takes ? optionValue(option) : undefined,
  };
}

const placeholders: Readonly<Record<string, 'file' | 'folder'>> = {
  file: 'file',
  path: 'file',
  folder: 'folder',
  dir: 'folder',
};

function optionValue(option: Option): Value {
  if (option.argChoices !== undefined) return { kind: 'choices', choices: option.argChoices };
  if (option.long === '--profile') return { kind: 'profile' };
  const placeholder = /[<[]([^>\].]+)/.exec(option.flags)?.[1] ?? '';
  return { kind: placeholders[placeholder] ?? 'any' };
}

function argumentOf(argument: Argument | undefined): Value | undefined {
  if (argument === undefined) return undefined;
  if (argument.argChoices !== undefined) return { kind: 'choices', choices: argument.argChoices };
  return { kind: placeholders[argument.name()] ?? 'any' };
}

/** What fits on one line beside a word, and is safe to quote in every shell. */
const firstWords = (text: string): string =>
  (text.split(/[;(:\n]/, 1)[0] ?? '').replace(/[`"'’\\$[\]]/g, '').trim();
