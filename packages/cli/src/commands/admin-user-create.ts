import type { Command } from 'commander';
import { Api } from '../api.ts';
import { readNewPassword } from '../confirm.ts';
import { examples } from '../nats/change.ts';
import { type Globals, show } from '../output.ts';

interface CreateOptions extends Globals {
  readonly email: string;
  readonly tenant?: string;
  readonly name?: string;
  readonly role?: string;
  readonly reason: string;
  readonly ask?: boolean;
}

/** `gatehouse admin user create` */
export function addUserCreate(user: Command): void {
  examples(
    user
      .command('create')
      .description(
        'make a user; without --ask or GATEHOUSE_NEW_PASSWORD a password is made and shown this once',
      )
      .requiredOption('--email <address>', 'of the new user')
      .option('--tenant <id>', 'tenant of the new user; your own unless given')
      .option('--name <text>', 'how the person is called')
      .option('--role <name>', 'USER unless given; SUPPORT, AUDITOR, ADMIN or PLATFORM_ADMIN')
      .option('--ask', 'ask for the password, or read the first line of standard input')
      .requiredOption('--reason <text>', 'why; kept in the audit'),
    'admin user create --email user@example.com --role SUPPORT --reason "joins the help desk"',
    'admin user create --email user@example.com --ask --reason "asked by phone"',
  ).action(async (_options: unknown, command: Command) => {
    const options = command.optsWithGlobals<CreateOptions>();
    const { email, tenant, name, role, reason, ask } = options;
    const password = await readNewPassword(ask === true);
    const answer = await new Api(options.url).request('POST', '/api/admin/users', {
      email,
      reason,
      ...(tenant && { tenant_id: tenant }),
      ...(name && { name }),
      ...(role && { role: role.toUpperCase() }),
      ...(password !== undefined && { password }),
    });
    const made = answer.initial_password;
    // It is shown nowhere else: --quiet leaves it alone on the line, for scripts.
    if (options.quiet && !options.json && typeof made === 'string') console.log(made);
    else
      show(
        options,
        answer,
        typeof made === 'string'
          ? `${answer.email}: made, ${answer.role}, ${answer.user_id}\npassword, shown this once: ${made}`
          : `${answer.email}: made, ${answer.role}, ${answer.user_id}`,
      );
  });
}
