import type { Command } from 'commander';
import { Api, type Json } from '../api.ts';
import { confirm } from '../confirm.ts';
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
import { addClaimFlags, claimsFrom, userFlags } from '../nats/claim-flags.ts';
import { type ListOptions, listing, showList, showOne } from '../nats/listing.ts';
import { accountFilter, findAccount, findInAccount, roles, type Scope, users } from '../nats/object.ts';
import type { Globals } from '../output.ts';
import { lifetimeOf } from '../units.ts';
import { inAccount } from './role.ts';
import { addCreds } from './user-creds.ts';

interface UserOptions extends ChangeOptions, Scope {
  readonly name?: string;
  readonly role?: string;
  readonly ttl?: number | null;
  readonly publicKey?: string;
}

/** `gatehouse user …`: users of NATS accounts and what was issued to them. */
export function addUser(program: Command): void {
  const user = program.command('user').description('users of NATS accounts, and their credentials');
  addLists(user);
  addCreate(user);
  addUpdate(user);
  addCreds(user);
  addRevoke(user);
  examples(
    inAccount(
      deleting(
        user
          .command('delete')
          .argument('<user>', 'name, id or public key')
          .description('delete a user and revoke what it holds'),
      ),
    ),
    'user delete printer --account orders --reason "gone"',
  ).action(async (reference: string, _options: unknown, command: Command) => {
    const options = command.optsWithGlobals<UserOptions>();
    const api = new Api(options.url);
    await remove(api, users, await findInAccount(api, users, reference, options), {
      options,
      done: 'deleted; what was issued to it is revoked',
    });
  });
}

function addLists(user: Command): void {
  const list = inAccount(listing(user.command('list').description('users, the newest first'), { tags: true }))
    .option('--role <role>', 'only with this role')
    .option('--state <state>', 'active or revoked');
  examples(list, 'user list --account orders', 'user list --account orders --state revoked').action(
    async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<ListOptions & Scope & { role?: string; state?: string }>();
      await showList(users.path, options, {
        columns: ['name', 'role', 'state', 'seed', 'last_seen_at', 'public_key', 'account_id'],
        filters: async (api) => ({
          ...(await accountFilter(api, options)),
          ...(options.role !== undefined && {
            role_id: (await findInAccount(api, roles, options.role, options)).id,
          }),
          state: options.state,
        }),
      });
    },
  );
  examples(
    inAccount(user.command('get').argument('<user>', 'name, id or public key').description('one user')),
    'user get printer --account orders',
  ).action(async (reference: string, _options: unknown, command: Command) => {
    const options = command.optsWithGlobals<Globals & Scope>();
    await showOne(users, options, (api) => findInAccount(api, users, reference, options));
  });
}

function addCreate(user: Command): void {
  const command = user
    .command('create')
    .argument('<name>', 'of the new user; unique within its account')
    .description('make a user; creds are issued by "user creds"')
    .requiredOption('--account <account>', 'in this account')
    .option('--operator <operator>', 'of the account')
    .option('--role <role>', 'which says what the user may do')
    .option('--ttl <time>', 'lifetime of what is issued to it, as 24h; or never', lifetimeOf)
    .option('--public-key <key>', 'the user keeps its own seed; this is the public half');
  examples(
    addClaimFlags(changing(command), userFlags),
    'user create printer --account orders --role worker --ttl 30d',
    "user create probe --account orders --allow-pub 'health.>' --deny-sub '>' --src 10.0.0.0/8",
  ).action(async (name: string, _options: unknown, self: Command) => {
    const options = self.optsWithGlobals<UserOptions & { account: string }>();
    const api = new Api(options.url);
    const claims = await claimsFrom(userFlags, options as unknown as Json);
    const account = await findAccount(api, options.account, options);
    const { publicKey } = options;
    const body = {
      account_id: account.id,
      name,
      ...(await roleOf(api, options, account.id)),
      ...ttlOf(options),
      ...(publicKey !== undefined && { public_key: publicKey }),
      ...(claims && { claims }),
    };
    await create(api, users.path, body, {
      options,
      done: (answer) => `user ${name}: made in account ${account.name}, ${answer.public_key}`,
    });
  });
}

function addUpdate(user: Command): void {
  const command = inAccount(
    user
      .command('update')
      .argument('<user>', 'name, id or public key')
      .description('change a user; acts on creds issued from now on'),
  )
    .option('--name <name>', 'a new name')
    .option('--role <role>', 'another role; "none" takes it away')
    .option('--ttl <time>', 'lifetime of what is issued to it, as 24h; or never', lifetimeOf);
  examples(
    addClaimFlags(updating(command), userFlags, { update: true }),
    'user update printer --account orders --ttl 7d',
    "user update probe --account orders --allow-pub 'health.>' --unset sub.deny --dry-run",
  ).action(async (reference: string, _options: unknown, self: Command) => {
    const options = self.optsWithGlobals<UserOptions>();
    const api = new Api(options.url);
    const claims = await claimsFrom(userFlags, options as unknown as Json);
    const found = await findInAccount(api, users, reference, options);
    const body = {
      ...(options.name !== undefined && { name: options.name }),
      ...(await roleOf(api, options, String(found.account_id))),
      ...ttlOf(options),
      ...(claims && { claims }),
    };
    await update(api, users, found, { options, body });
  });
}

const ttlOf = ({ ttl }: UserOptions): Json => (ttl === undefined ? {} : { ttl_seconds: ttl });

async function roleOf(api: Api, { role }: UserOptions, accountId: string): Promise<Json> {
  if (role === undefined) return {};
  if (role === 'none') return { role_id: null };
  return { role_id: (await findInAccount(api, roles, role, { account: accountId })).id };
}

function addRevoke(user: Command): void {
  examples(
    inAccount(
      changing(
        user
          .command('revoke')
          .argument('<user>', 'name, id or public key')
          .description('refuse everything issued to a user so far and close its connections'),
      ),
    ).option('--yes', 'do not ask'),
    'user revoke printer --account orders --reason "laptop stolen"',
  ).action(async (reference: string, _options: unknown, command: Command) => {
    const options = command.optsWithGlobals<UserOptions>();
    const api = new Api(options.url);
    const found = await findInAccount(api, users, reference, options);
    if (!options.dryRun) await confirm(`Revoke everything issued to ${found.name}?`, options.yes);
    await create(
      api,
      `${users.path}/${found.id}/revoke`,
      {},
      {
        options,
        done: () => `user ${found.name}: revoked; new creds work again after "user restore"`,
      },
    );
  });
  examples(
    inAccount(
      changing(
        user
          .command('restore')
          .argument('<user>', 'name, id or public key')
          .description('let a revoked user have creds again; the old ones stay refused'),
      ),
    ),
    'user restore printer --account orders --reason "laptop found"',
  ).action(async (reference: string, _options: unknown, command: Command) => {
    const options = command.optsWithGlobals<UserOptions>();
    const api = new Api(options.url);
    const found = await findInAccount(api, users, reference, options);
    await create(
      api,
      `${users.path}/${found.id}/restore`,
      {},
      {
        options,
        done: () => `user ${found.name}: active again; issue new creds`,
      },
    );
  });
}
