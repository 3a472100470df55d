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
import { accountFlags, addClaimFlags, claimsFrom } from '../nats/claim-flags.ts';
import { type ListOptions, listing, showList, showOne } from '../nats/listing.ts';
import { accounts, find, findAccount, operatorFilter, operators, type Scope } from '../nats/object.ts';
import type { Globals } from '../output.ts';
import { momentOf } from '../units.ts';
import { addAccountKeys } from './account-key.ts';
import { addAccountSharing } from './account-sharing.ts';

interface AccountOptions extends ChangeOptions, Scope {
  readonly name?: string;
  readonly tenant?: string;
  readonly expires?: string | null;
  readonly purge?: boolean;
}

/** `gatehouse account …`: the tenants of NATS servers. */
export function addAccount(program: Command): void {
  const account = program
    .command('account')
    .description('NATS accounts: who is kept apart from whom, within which limits');
  addLists(account);
  addCreate(account);
  addUpdate(account);
  addEnd(account);
  addAccountKeys(account);
  addAccountSharing(account);
}

function addLists(account: Command): void {
  examples(
    inOperator(listing(account.command('list').description('accounts, the newest first'), { tags: true }))
      .option('--tenant <id>', 'only of this tenant')
      .option('--state <state>', 'active, locked, purging, deleting or deleted'),
    'account list',
    'account list --operator main --search ord',
  ).action(async (_options: unknown, command: Command) => {
    const options = command.optsWithGlobals<ListOptions & Scope & { tenant?: string; state?: string }>();
    await showList(accounts.path, options, {
      columns: ['name', 'state', 'sync', 'public_key', 'tenant_id', 'expires_at', 'id'],
      filters: async (api) => ({
        ...(await operatorFilter(api, options)),
        tenant_id: options.tenant,
        state: options.state,
      }),
      row: (one) => ({ ...one, sync: syncOf(one.sync) }),
    });
  });
  examples(
    inOperator(
      account
        .command('get')
        .argument('<account>', 'name, id or public key; $SYS is the system account')
        .description('one account')
        .option('--jwt', 'only its JWT'),
    ),
    'account get orders',
    "account get '$SYS' --operator main --jwt",
  ).action(async (reference: string, _options: unknown, command: Command) => {
    const options = command.optsWithGlobals<Globals & Scope & { jwt?: boolean }>();
    await showOne(accounts, options, (api) => findAccount(api, reference, options));
  });
}

/** `2 in_sync, 1 pending`: on how many clusters it stands how. */
function syncOf(sync: unknown): string {
  const states = Array.isArray(sync) ? (sync as { state?: unknown }[]).map(({ state }) => String(state)) : [];
  return [...new Set(states)]
    .map((state) => `${states.filter((one) => one === state).length} ${state}`)
    .join(', ');
}

function addCreate(account: Command): void {
  const command = account
    .command('create')
    .argument('<name>', 'of the new account; unique within its operator')
    .description('make an account')
    .option('--operator <operator>', 'under this operator; the platform’s own, or the only one, unless given')
    .option('--tenant <id>', 'for this tenant; an ADMIN’s own always')
    .option('--expires <when>', 'as 30d or 2027-01-31; then nobody connects any more', momentOf);
  examples(
    addClaimFlags(changing(command), accountFlags),
    'account create orders --conn 100 --jetstream-disk 10GiB',
    'account create edge --operator main --claims edge.json --expires 1y',
  ).action(async (name: string, _options: unknown, self: Command) => {
    const options = self.optsWithGlobals<AccountOptions>();
    const api = new Api(options.url);
    const claims = await claimsFrom(accountFlags, options as unknown as Json);
    const { operator, tenant, expires } = options;
    const body = {
      name,
      ...(operator !== undefined && { operator_id: (await find(api, operators, operator)).id }),
      ...(tenant !== undefined && { tenant_id: tenant }),
      ...(typeof expires === 'string' && { expires_at: expires }),
      ...(claims && { claims }),
    };
    await create(api, accounts.path, body, {
      options,
      done: (answer) => `account ${name}: made, ${answer.public_key}`,
    });
  });
}

function addUpdate(account: Command): void {
  const command = inOperator(
    account
      .command('update')
      .argument('<account>', 'name, id or public key')
      .description('change an account')
      .option('--name <name>', 'a new name')
      .option('--expires <when>', 'as 30d, 2027-01-31 or never', momentOf),
  );
  examples(
    addClaimFlags(updating(command), accountFlags, { update: true }),
    'account update orders --conn 200 --dry-run',
    'account update orders --jetstream-tier R3 --jetstream-disk 50GiB --reason "grew"',
    'account update orders --unset exports --claims imports.json',
  ).action(async (reference: string, _options: unknown, self: Command) => {
    const options = self.optsWithGlobals<AccountOptions>();
    const api = new Api(options.url);
    const claims = await claimsFrom(accountFlags, options as unknown as Json);
    const { name, expires } = options;
    const body = {
      ...(name !== undefined && { name }),
      ...(expires !== undefined && { expires_at: expires }),
      ...(claims && { claims }),
    };
    await update(api, accounts, await findAccount(api, reference, options), { options, body });
  });
}

function addEnd(account: Command): void {
  examples(
    inOperator(
      deleting(
        account
          .command('delete')
          .argument('<account>', 'name, id or public key')
          .description('lock an account, then delete it from every server')
          .option('--purge', 'its streams go too; without it an account with streams stays locked'),
      ),
    ),
    'account delete trial --reason "trial is over"',
    'account delete trial --purge --yes',
  ).action(async (reference: string, _options: unknown, command: Command) => {
    const options = command.optsWithGlobals<AccountOptions>();
    const api = new Api(options.url);
    await remove(api, accounts, await findAccount(api, reference, options), {
      options,
      query: options.purge ? { purge: 'true' } : {},
      done: 'locked; its deletion has begun ("account get" shows how far it is)',
    });
  });
  examples(
    inOperator(
      changing(
        account
          .command('restore')
          .argument('<account>', 'name, id or public key')
          .description('take a locked account back into use, while its deletion has not gone further'),
      ),
    ),
    'account restore trial --reason "they stay"',
  ).action(async (reference: string, _options: unknown, command: Command) => {
    const options = command.optsWithGlobals<AccountOptions>();
    const api = new Api(options.url);
    const found = await findAccount(api, reference, options);
    await create(
      api,
      `${accounts.path}/${found.id}/restore`,
      {},
      {
        options,
        done: () => `account ${found.name}: active again`,
      },
    );
  });
}

/** Adds where an account's name is looked up. */
export function inOperator(command: Command): Command {
  return command.option('--operator <operator>', 'under this operator; needed when several have the name');
}
