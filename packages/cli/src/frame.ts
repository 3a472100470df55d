import { createRequire } from 'node:module';
import type { Command } from 'commander';
import { coloured, refuseColour, usesColour } from './colour.ts';
import { chooseInstallation, useInstallation } from './installation.ts';
import { reportUsage } from './report-error.ts';

/** The version of this release. */
const version: string = createRequire(import.meta.url)('../package.json').version;

const afterHelp = `
Which installation: --url, --profile, GATEHOUSE_URL, GATEHOUSE_PROFILE, the profile in use, http://localhost:8080:
the first of these that is given. Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 130 interrupted.

Examples:
  gatehouse login --email admin@example.com
  gatehouse doctor
  gatehouse --json keys list
`;

/** Gives the command what all its subcommands share; they inherit it when they are added afterwards. */
export function frame(program: Command): Command {
  return program
    .description('administers a Gatehouse installation')
    .option('--url <address>', 'public address of the installation')
    .option('--profile <name>', 'the installation of that name (see "gatehouse profile")')
    .option('--json', 'answer with one JSON document; errors are a line of JSON on standard error')
    .option('--quiet', 'say nothing on success; what was asked for is still shown')
    .option('--no-color', 'without colours, as NO_COLOR; FORCE_COLOR has them without a terminal too')
    .version(version, '--version', 'show the version')
    .helpOption('--help', 'show what a command does, with examples')
    .helpCommand('help [command]', 'show what a command does, with examples')
    .addHelpText('after', afterHelp)
    .configureHelp({
      styleTitle: (text) => coloured('bold', text),
    })
    .configureOutput({
      getOutHasColors: () => usesColour(process.stdout),
      getErrHasColors: () => usesColour(process.stderr),
      outputError: (text, write) => reportUsage(text, process.argv.includes('--json'), write),
    })
    .showHelpAfterError(process.argv.includes('--json') ? false : '(see --help)')
    .hook('preAction', (_program, action) => prepare(program, action))
    .exitOverride();
}

/** Commands that speak to no installation. */
const elsewhere: ReadonlySet<string> = new Set([
  'profile',
  'completion',
  'migrate',
  'bus',
  'backup',
  'restore',
]);

/** What is said once for every command: colours, which installation, in which tenant an e-mail address is looked up. */
function prepare(program: Command, action: Command): void {
  const { color, url, profile } = program.opts<{ color: boolean; url?: string; profile?: string }>();
  if (!color) refuseColour();
  if (elsewhere.has(groupOf(program, action)) || action.name() === 'break-glass') return;
  const installation = chooseInstallation({ url, profile });
  useInstallation(installation);
  program.setOptionValueWithSource('url', installation.url, 'config');
  // Where an address is looked up, and nowhere else: a list that a profile has narrowed would look complete.
  const looksUp = takes(action, 'tenant') && action.getOptionValue('email') !== undefined;
  if (installation.tenant !== undefined && looksUp && action.getOptionValue('tenant') === undefined)
    action.setOptionValueWithSource('tenant', installation.tenant, 'config');
}

const takes = (command: Command, option: string): boolean =>
  command.options.some((one) => one.attributeName() === option);

/** The first word of a command: `keys` of `gatehouse keys encryption status`. */
function groupOf(program: Command, action: Command): string {
  let at = action;
  while (at.parent !== null && at.parent !== program) at = at.parent;
  return at.name();
}
