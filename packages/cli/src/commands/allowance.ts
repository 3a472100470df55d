import type { Command } from 'commander';
import { Api, type Json } from '../api.ts';
import { confirm } from '../confirm.ts';
import { Fault } from '../fault.ts';
import { type ChangeOptions, changing, examples, sentence, withReason } from '../nats/change.ts';
import { accountFlags, addClaimFlags, claimsFrom } from '../nats/claim-flags.ts';
import { type ListOptions, listing, showList } from '../nats/listing.ts';
import { findOperator, operatorFilter, type Scope } from '../nats/object.ts';
import { show } from '../output.ts';
import { inOperator } from './account.ts';

const path = '/api/nats/allowances';

interface AllowanceOptions extends ChangeOptions, Scope {
  readonly tenant: string;
  readonly accounts?: string;
}

/** Limits only: an allowance bounds them, and nothing else of an account. */
const limitFlags = accountFlags.filter(({ path: [first] }) => first === 'limits');

/** `gatehouse allowance …`: what a tenant may have under an operator. */
export function addAllowance(program: Command): void {
  const allowance = program.command('allowance').description('what a tenant may have under a NATS operator');
  examples(
    inOperator(listing(allowance.command('list').description('allowances'), { search: false })).option(
      '--tenant <id>',
      'only of this tenant',
    ),
    'allowance list --operator main',
  ).action(async (_options: unknown, command: Command) => {
    const options = command.optsWithGlobals<ListOptions & Scope & { tenant?: string }>();
    await showList(path, options, {
      columns: ['tenant_id', 'operator_id', 'accounts_max', 'limits_max', 'updated_at'],
      filters: async (api) => ({ ...(await operatorFilter(api, options)), tenant_id: options.tenant }),
    });
  });
  addSet(allowance);
  examples(
    inOperator(
      changing(
        allowance.command('delete').description('let a tenant have no more accounts; those that it has stay'),
      ).requiredOption('--tenant <id>', 'of this tenant'),
    ).option('--yes', 'do not ask'),
    'allowance delete --tenant 01890000-0000-7000-8000-000000000000 --operator main',
  ).action(async (_options: unknown, command: Command) => {
    const options = command.optsWithGlobals<AllowanceOptions>();
    const api = new Api(options.url);
    const operator = await findOperator(api, options.operator);
    const { tenant, reason, dryRun } = options;
    if (!dryRun) await confirm(`Take the allowance of ${tenant} under ${operator.name}?`, options.yes);
    const query = new URLSearchParams({
      ...(reason !== undefined && { reason }),
      ...(dryRun && { dry_run: 'true' }),
    });
    const answer = await api.request(
      'DELETE',
      `${path}/${encodeURIComponent(tenant)}/${operator.id}?${query}`,
    );
    show(options, answer, sentence(`${tenant}: no allowance under ${operator.name}`, answer));
  });
}

function addSet(allowance: Command): void {
  const command = inOperator(
    changing(
      allowance
        .command('set')
        .description('say how many accounts a tenant may have, and the most that each may be allowed')
        .requiredOption('--tenant <id>', 'of this tenant')
        .requiredOption('--accounts <n>', 'most accounts'),
    ),
  );
  examples(
    addClaimFlags(command, limitFlags),
    'allowance set --tenant 01890000-0000-7000-8000-000000000000 --accounts 5 --conn 1000 --jetstream-disk 100GiB',
  ).action(async (_options: unknown, self: Command) => {
    const options = self.optsWithGlobals<AllowanceOptions>();
    const { tenant, accounts = '' } = options;
    if (!/^[0-9]{1,9}$/.test(accounts)) throw new Fault('--accounts must be a whole number', 2);
    const claims = await claimsFrom(limitFlags, options as unknown as Json);
    const api = new Api(options.url);
    const operator = await findOperator(api, options.operator);
    const dry = options.dryRun ? '?dry_run=true' : '';
    const body = { accounts_max: Number(accounts), limits_max: (claims?.limits as Json | undefined) ?? {} };
    const to = `${path}/${encodeURIComponent(tenant)}/${operator.id}${dry}`;
    const answer = await api.request('PUT', to, withReason(body, options));
    show(options, answer, sentence(`${tenant}: at most ${accounts} accounts under ${operator.name}`, answer));
  });
}
