import type { Command } from 'commander';
import { Api, type Json } from '../api.ts';
import {
  type ChangeOptions,
  changing,
  create,
  deleting,
  examples,
  remove,
  update,
  updating,
} from '../nats/change.ts';
import { addClaimFlags, claimsFrom, roleFlags } from '../nats/claim-flags.ts';
import { type ListOptions, listing, showList, showOne } from '../nats/listing.ts';
import { accountFilter, findAccount, findInAccount, roles, type Scope } from '../nats/object.ts';
import type { Globals } from '../output.ts';

interface RoleOptions extends ChangeOptions, Scope {
  readonly description?: string;
  readonly name?: string;
}

/** `gatehouse role …`: scoped signing keys, whose template is the law of the users that they sign. */
export function addRole(program: Command): void {
  const role = program
    .command('role')
    .description('roles of NATS accounts: what their users may do (scoped signing keys)');
  examples(
    inAccount(listing(role.command('list').description('roles, the newest first'))),
    'role list --account orders',
  ).action(async (_options: unknown, command: Command) => {
    const options = command.optsWithGlobals<ListOptions & Scope>();
    await showList(roles.path, options, {
      columns: ['name', 'users', 'description', 'public_key', 'account_id'],
      filters: (api) => accountFilter(api, options),
    });
  });
  examples(
    inAccount(
      role
        .command('get')
        .argument('<role>', 'name, id or public key')
        .description('one role with its template'),
    ),
    'role get worker --account orders',
  ).action(async (reference: string, _options: unknown, command: Command) => {
    const options = command.optsWithGlobals<Globals & Scope>();
    await showOne(roles, options, (api) => findInAccount(api, roles, reference, options));
  });
  addCreate(role);
  addUpdate(role);
  examples(
    inAccount(
      deleting(
        role
          .command('delete')
          .argument('<role>', 'name or id')
          .description('delete a role; what it signed no longer connects'),
      ),
    ),
    'role delete worker --account orders --reason "no longer used"',
  ).action(async (reference: string, _options: unknown, command: Command) => {
    const options = command.optsWithGlobals<RoleOptions>();
    const api = new Api(options.url);
    await remove(api, roles, await findInAccount(api, roles, reference, options), { options });
  });
}

function addCreate(role: Command): void {
  const command = role
    .command('create')
    .argument('<name>', 'of the new role; unique within its account')
    .description('make a role')
    .requiredOption('--account <account>', 'of this account')
    .option('--operator <operator>', 'of the account')
    .option('--description <text>', 'what it is for');
  examples(
    addClaimFlags(changing(command), roleFlags),
    "role create worker --account orders --allow-sub 'orders.>' --allow-pub 'orders.done.{{name()}}'",
    'role create reader --account orders --claims template.json',
  ).action(async (name: string, _options: unknown, self: Command) => {
    const options = self.optsWithGlobals<RoleOptions & { account: string }>();
    const api = new Api(options.url);
    const template = await claimsFrom(roleFlags, options as unknown as Json);
    const account = await findAccount(api, options.account, options);
    const { description } = options;
    const body = {
      account_id: account.id,
      name,
      ...(description !== undefined && { description }),
      ...(template && { template }),
    };
    await create(api, roles.path, body, {
      options,
      done: () => `role ${name}: made in account ${account.name}`,
    });
  });
}

function addUpdate(role: Command): void {
  const command = inAccount(
    role
      .command('update')
      .argument('<role>', 'name, id or public key')
      .description('change a role; nats-server closes the connections of its users')
      .option('--name <name>', 'a new name')
      .option('--description <text>', 'what it is for'),
  );
  examples(
    addClaimFlags(updating(command), roleFlags, { update: true }),
    "role update worker --account orders --allow-sub 'orders.>' --allow-sub 'stock.>' --dry-run",
    'role update worker --account orders --unset sub.deny',
  ).action(async (reference: string, _options: unknown, self: Command) => {
    const options = self.optsWithGlobals<RoleOptions>();
    const api = new Api(options.url);
    const template = await claimsFrom(roleFlags, options as unknown as Json);
    const { name, description } = options;
    const body = {
      ...(name !== undefined && { name }),
      ...(description !== undefined && { description }),
      ...(template && { template }),
    };
    await update(api, roles, await findInAccount(api, roles, reference, options), { options, body });
  });
}

/** Adds where a name is looked up. */
export function inAccount(command: Command): Command {
  return command
    .option('--account <account>', 'in this account; needed when several have the name')
    .option('--operator <operator>', 'of the account, when several operators have one of that name');
}
