import type { Command } from 'commander';
import { examples } from '../nats/change.ts';
import { type ListOptions, listing, showList } from '../nats/listing.ts';

const columns = ['email', 'name', 'role', 'status', 'locked_until', 'tenant_id', 'user_id', 'created_at'];

interface UserListOptions extends ListOptions {
  readonly role?: string;
  readonly status?: string;
  readonly tenant?: string;
}

/** `gatehouse admin user list` */
export function addUserList(user: Command): void {
  examples(
    listing(user.command('list').description('users, the newest first'), { search: false })
      .option('--search <text>', 'beginning of the e-mail address or of the name')
      .option('--role <name>', 'only USER, SUPPORT, AUDITOR, ADMIN or PLATFORM_ADMIN')
      .option('--status <status>', 'only active, locked or disabled')
      .option('--tenant <id>', 'only of this tenant'),
    'admin user list --search anna',
    'admin user list --role ADMIN --status locked',
  ).action(async (_options: unknown, command: Command) => {
    const options = command.optsWithGlobals<UserListOptions>();
    const { role, status, tenant } = options;
    const filters = { role: role?.toUpperCase(), status: status?.toLowerCase(), tenant_id: tenant };
    await showList('/api/admin/users', options, { columns, filters: async () => filters });
  });
}
