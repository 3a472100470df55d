import type { Command } from 'commander';
import { Api, type Json } from '../api.ts';
import { confirm } from '../confirm.ts';
import { examples } from '../nats/change.ts';
import { show, showObject } from '../output.ts';
import { addUserCreate } from './admin-user-create.ts';
import { addUserList } from './admin-user-list.ts';
import { findUser, type Target, targeted, type UserItem } from './admin-user-target.ts';
import { addLoginEvents } from './login-events.ts';

interface ChangeOptions extends Target {
  readonly reason: string;
  readonly role?: string;
  readonly yes?: boolean;
}

/** `gatehouse admin user …` */
export function addAdminUser(admin: Command): void {
  const user = admin.command('user').description('people’s accounts');
  addUserList(user);
  addShow(user);
  addUserCreate(user);
  addSetRole(user);
  for (const { name, description, verb, done } of changes)
    change(user, name, description).action(changing(verb ?? name, done));
  addActivate(user);
  addDelete(user);
  addLoginEvents(user);
}

const changes: readonly {
  readonly name: string;
  readonly description: string;
  readonly verb?: string;
  readonly done: string;
}[] = [
  { name: 'lock', description: 'lock a user; every session ends', done: 'locked' },
  { name: 'unlock', description: 'lift a lock, and the lockout after failed sign-ins', done: 'unlocked' },
  {
    name: 'reset-lockout',
    description: 'lift only the lockout after failed sign-ins; a lock that an administrator set stays',
    done: 'failed sign-ins forgotten',
  },
  { name: 'disable', description: 'disable a user; every session ends', done: 'disabled' },
  { name: 'enable', description: 'enable a disabled user', done: 'enabled' },
  { name: 'revoke-sessions', description: 'end every session of a user', done: 'the sessions have ended' },
];

function change(user: Command, name: string, description: string, more = ''): Command {
  return examples(
    targeted(user.command(name).description(description)).requiredOption(
      '--reason <text>',
      'why; kept in the audit',
    ),
    `admin user ${name} --email user@example.com${more} --reason "asked by phone"`,
  );
}

function changing(verb: string, done: string, body: (options: ChangeOptions) => Json = () => ({})) {
  return async (_options: unknown, command: Command): Promise<void> => {
    const options = command.optsWithGlobals<ChangeOptions>();
    const api = new Api(options.url);
    const user = await findUser(api, options);
    const { reason } = options;
    const answer = await api.request('POST', pathOf(user, verb), { ...body(options), reason });
    show(options, answer, `${user.email}: ${done}`);
  };
}

const pathOf = ({ user_id }: UserItem, verb: string): string => `/api/admin/users/${user_id}/${verb}`;

function addShow(user: Command): void {
  examples(
    targeted(user.command('show').description('what is known of a user')),
    'admin user show --email user@example.com',
  ).action(async (_options: unknown, command: Command) => {
    const options = command.optsWithGlobals<Target>();
    showObject(options, await findUser(new Api(options.url), options));
  });
}

function addSetRole(user: Command): void {
  change(user, 'set-role', 'give a user a role', ' --role ADMIN')
    .requiredOption('--role <name>', 'USER, SUPPORT, AUDITOR, ADMIN or PLATFORM_ADMIN')
    .action(
      changing('role', 'the role acts from the next request', ({ role = '' }) => ({
        role: role.toUpperCase(),
      })),
    );
}

/** Whatever keeps the user out: a lock, a lockout, or being disabled. */
function addActivate(user: Command): void {
  change(user, 'activate', 'let a user in again, whether locked, locked out or disabled').action(
    async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<ChangeOptions>();
      const api = new Api(options.url);
      const found = await findUser(api, options);
      const { reason } = options;
      if (found.status === 'disabled') await api.request('POST', pathOf(found, 'enable'), { reason });
      const answer = await api.request('POST', pathOf(found, 'unlock'), { reason });
      show(options, answer, `${found.email}: active`);
    },
  );
}

function addDelete(user: Command): void {
  change(user, 'delete', 'delete a user for good; the address is free again', ' --yes')
    .option('--yes', 'do not ask')
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<ChangeOptions>();
      const api = new Api(options.url);
      const found = await findUser(api, options);
      const { email, role, tenant_id, user_id } = found;
      await confirm(
        `Delete ${email} (${role} of tenant ${tenant_id}) for good? Every session ends, and nothing brings the account back.`,
        options.yes,
      );
      const query = new URLSearchParams({ reason: options.reason });
      await api.request('DELETE', `/api/admin/users/${user_id}?${query}`);
      show(options, { user_id, tenant_id, deleted: true }, `${email}: deleted`);
    });
}
