import type { Command } from 'commander';
import { Api } from '../api.ts';
import { readPassword } from '../confirm.ts';
import { type Globals, show } from '../output.ts';

/** `gatehouse login|logout`: keeps an administrator's session in a file of mode 0600. */
export function addLogin(program: Command): void {
  program
    .command('login')
    .description('sign in; the password is asked for, piped in, or taken from GATEHOUSE_PASSWORD')
    .requiredOption('--email <address>', 'whose account')
    .option('--tenant <id>', 'tenant of the account; the default tenant unless given')
    .addHelpText('after', '\nExample:\n  gatehouse login --email admin@example.com\n')
    .action(async (options: { email: string; tenant?: string }, command: Command) => {
      const globals = command.optsWithGlobals<Globals>();
      const api = new Api(globals.url);
      const password = await readPassword();
      await api.login({
        email: options.email,
        password,
        ...(options.tenant && { tenant_id: options.tenant }),
      });
      show(globals, { url: api.url, email: options.email }, `signed in at ${api.url}`);
    });
  program
    .command('logout')
    .description('end the kept session')
    .addHelpText('after', '\nExample:\n  gatehouse logout\n')
    .action(async (_options: unknown, command: Command) => {
      const globals = command.optsWithGlobals<Globals>();
      await new Api(globals.url).logout();
      show(globals, {}, 'signed out');
    });
}
