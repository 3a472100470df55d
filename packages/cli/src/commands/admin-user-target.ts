import type { Command } from 'commander';
import type { Api, Json } from '../api.ts';
import { Fault } from '../fault.ts';
import type { Globals } from '../output.ts';

/** Which user a command is about. */
export interface Target extends Globals {
  readonly email?: string;
  readonly id?: string;
  readonly tenant?: string;
}

/** A user as the API shows it. */
export interface UserItem extends Json {
  readonly user_id: string;
  readonly tenant_id: string;
  readonly email: string;
  readonly role: string;
  readonly status: string;
}

/** Adds how a user is named. */
export function targeted(command: Command): Command {
  return command
    .option('--email <address>', 'which user')
    .option('--id <uuid>', 'which user (rather than --email)')
    .option('--tenant <id>', 'tenant of the user, when several have one with that address');
}

/** The user that is meant. @throws Fault when nobody or more than one is. */
export async function findUser(api: Api, { id, email, tenant }: Target): Promise<UserItem> {
  if ((id === undefined) === (email === undefined)) throw new Fault('name the user by --email or by --id', 2);
  if (id !== undefined)
    return (await api.request('GET', `/api/admin/users/${encodeURIComponent(id)}`)) as UserItem;
  const query = new URLSearchParams({ email: email ?? '', ...(tenant && { tenant_id: tenant }) });
  const { items } = (await api.request('GET', `/api/admin/users?${query}`)) as unknown as {
    items: UserItem[];
  };
  if (items.length > 1)
    throw new Fault(
      `${email} exists in ${items.length} tenants: add --tenant or use --id`,
      2,
      items.map(({ user_id, tenant_id }) => `--tenant ${tenant_id} (--id ${user_id})`),
    );
  const [found] = items;
  if (found === undefined)
    throw new Fault(`there is no user ${email}${tenant ? ` in tenant ${tenant}` : ''}`);
  return found;
}
