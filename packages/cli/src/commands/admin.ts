import type { Command } from 'commander';
import { Api, type Json } from '../api.ts';
import { confirm } from '../confirm.ts';
import { Fault } from '../fault.ts';
import { type Globals, show, showRows } from '../output.ts';

interface Target extends Globals {
  email?: string;
  id?: string;
  tenant?: string;
  reason: string;
}

/** `gatehouse admin user …` and `gatehouse admin sessions …`. */
export function addAdmin(program: Command): void {
  const admin = program.command('admin').description('users and sessions, as an administrator');
  const user = admin.command('user').description('one user, by --email or --id');
  addShow(user);
  change(user, 'set-role', 'give a user a role')
    .requiredOption('--role <name>', 'USER, ADMIN or PLATFORM_ADMIN')
    .action(changing('role', ({ role }) => ({ role }), 'the role acts from the next request'));
  change(user, 'lock', 'lock a user out; every session ends').action(changing('lock', none, 'locked'));
  change(user, 'unlock', 'lift a lock and the lockout after failed sign-ins').action(
    changing('unlock', none, 'unlocked'),
  );
  change(user, 'revoke-sessions', 'end every session of a user').action(
    changing('revoke-sessions', none, 'the sessions have ended'),
  );
  addRevokeAll(admin.command('sessions').description('sessions of the platform'));
}

const none = () => ({});

function change(user: Command, name: string, description: string): Command {
  return targeted(user.command(name).description(description)).requiredOption(
    '--reason <text>',
    'why; kept in the audit',
  );
}

function targeted(command: Command): Command {
  const reason = command.name() === 'show' ? '' : ' --reason "asked by phone"';
  const role = command.name() === 'set-role' ? ' --role ADMIN' : '';
  return command
    .option('--email <address>', 'which user')
    .option('--id <uuid>', 'which user (rather than --email)')
    .option('--tenant <id>', 'tenant of the user')
    .addHelpText(
      'after',
      `\nExample:\n  gatehouse admin user ${command.name()} --email user@example.com${role}${reason}\n`,
    );
}

function addShow(user: Command): void {
  targeted(user.command('show').description('what is known of a user')).action(
    async (_options: unknown, command: Command) => {
      const globals = command.optsWithGlobals<Target>();
      const api = new Api(globals.url);
      const found = await api.request('GET', `/api/admin/users/${await userId(api, globals)}`);
      showRows(globals, [found], ['user_id', 'tenant_id', 'email', 'role', 'status', 'created_at']);
    },
  );
}

function changing(verb: string, body: (options: Target & { role?: string }) => Json, done: string) {
  return async (_options: unknown, command: Command): Promise<void> => {
    const globals = command.optsWithGlobals<Target & { role?: string }>();
    const api = new Api(globals.url);
    const id = await userId(api, globals);
    const answer = await api.request('POST', `/api/admin/users/${id}/${verb}`, {
      ...body(globals),
      reason: globals.reason,
    });
    show(globals, answer, `${globals.email ?? id}: ${done}`);
  };
}

async function userId(api: Api, { id, email, tenant }: Target): Promise<string> {
  if ((id === undefined) === (email === undefined)) throw new Fault('name the user by --email or by --id', 2);
  if (id !== undefined) return encodeURIComponent(id);
  const query = new URLSearchParams({ email: email ?? '', ...(tenant && { tenant_id: tenant }) });
  const { items } = (await api.request('GET', `/api/admin/users?${query}`)) as {
    items: { user_id: string }[];
  };
  if (items.length > 1)
    throw new Fault(`${email} exists in ${items.length} tenants: add --tenant or use --id`);
  const [found] = items;
  if (found === undefined)
    throw new Fault(`there is no user ${email}${tenant ? ` in tenant ${tenant}` : ''}`);
  return found.user_id;
}

function addRevokeAll(sessions: Command): void {
  sessions
    .command('revoke-all')
    .description('end every session: of everybody, or of one tenant')
    .requiredOption('--reason <text>', 'why; kept in the audit')
    .option('--tenant <id>', 'only this tenant')
    .option('--dry-run', 'only say how many')
    .option('--yes', 'do not ask')
    .addHelpText('after', '\nExample:\n  gatehouse admin sessions revoke-all --reason "key leaked" --yes\n')
    .action(
      async (
        options: { tenant?: string; reason: string; dryRun?: boolean; yes?: boolean },
        command: Command,
      ) => {
        const globals = command.optsWithGlobals<Globals>();
        if (!options.dryRun) await confirm('End every session, your own too?', options.yes);
        const answer = await new Api(globals.url).request('POST', '/api/admin/sessions/revoke-all', {
          reason: options.reason,
          ...(options.tenant && { tenant_id: options.tenant }),
          ...(options.dryRun && { dry_run: true }),
        });
        show(
          globals,
          answer,
          options.dryRun ? `${answer.count} would end` : `${answer.count} sessions ended`,
        );
      },
    );
}
