import type { Command } from 'commander';
import { Api, type Json } from '../api.ts';
import { confirm } from '../confirm.ts';
import { Fault } from '../fault.ts';
import { examples } from '../nats/change.ts';
import { type ListOptions, listing, showList } from '../nats/listing.ts';
import { listAll } from '../nats/object.ts';
import { type Globals, show, showObject } from '../output.ts';

const path = '/api/admin/tenants';
const POLICIES = 'open, application, invite or closed';
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

interface TenantOptions extends Globals {
  readonly tenant: string;
  readonly reason: string;
  readonly id?: string;
  readonly name?: string;
  readonly policy?: string;
  readonly delayDays?: string;
  readonly yes?: boolean;
}

interface TenantItem extends Json {
  readonly tenant_id: string;
  readonly name: string;
}

/** `gatehouse admin tenant …` */
export function addAdminTenant(admin: Command): void {
  const tenant = admin.command('tenant').description('tenants of the platform');
  addList(tenant);
  addShow(tenant);
  addCreate(tenant);
  change(tenant, 'rename', 'give a tenant another name', ' --name "Shop & Co"')
    .requiredOption('--name <text>', 'the new name')
    .action(
      changing(
        ({ name = '' }) => ({ name }),
        ({ name }) => `is now called ${name}`,
      ),
    );
  change(tenant, 'set-policy', 'say who may register in a tenant', ' --policy invite')
    .requiredOption('--policy <policy>', POLICIES)
    .action(
      changing(
        ({ policy = '' }) => ({ registration: policy.toLowerCase() }),
        ({ registration }) => `registration policy ${registration}`,
      ),
    );
  change(tenant, 'disable', 'disable a tenant; every session ends and nobody signs in', ' --yes')
    .option('--yes', 'do not ask')
    .action(
      changing(
        () => ({ status: 'disabled' }),
        () => 'disabled',
        (name) => `Disable tenant ${name}? Every session of it ends, and nobody signs in.`,
      ),
    );
  change(tenant, 'enable', 'enable a disabled tenant').action(
    changing(
      () => ({ status: 'active' }),
      () => 'enabled',
    ),
  );
  addDelete(tenant);
  addCancel(tenant);
}

function addList(tenant: Command): void {
  examples(
    listing(tenant.command('list').description('tenants, the newest first'), { search: false })
      .option('--search <text>', 'beginning of the name')
      .option('--status <status>', 'only active or disabled'),
    'admin tenant list --search shop',
  ).action(async (_options: unknown, command: Command) => {
    const options = command.optsWithGlobals<ListOptions & { status?: string }>();
    await showList(path, options, {
      columns: ['tenant_id', 'name', 'status', 'registration', 'delete_after', 'created_at'],
      filters: async () => ({ status: options.status?.toLowerCase() }),
    });
  });
}

const named = (command: Command): Command =>
  command.requiredOption('--tenant <tenant>', 'which tenant: its id, or its whole name');

function change(tenant: Command, name: string, description: string, more = ''): Command {
  return examples(
    named(tenant.command(name).description(description)).requiredOption(
      '--reason <text>',
      'why; kept in the audit',
    ),
    `admin tenant ${name} --tenant Shop${more} --reason "asked by phone"`,
  );
}

/** A PATCH; `asks`: the question that comes first. */
function changing(
  body: (options: TenantOptions) => Json,
  done: (answer: Json) => string,
  asks?: (name: string) => string,
) {
  return async (_options: unknown, command: Command): Promise<void> => {
    const options = command.optsWithGlobals<TenantOptions>();
    const api = new Api(options.url);
    const { tenant_id, name } = await findTenant(api, options.tenant);
    if (asks !== undefined) await confirm(asks(`${name} (${tenant_id})`), options.yes);
    const asked = { ...body(options), reason: options.reason };
    const answer = await api.request('PATCH', `${path}/${tenant_id}`, asked);
    show(options, answer, `tenant ${name}: ${done(answer)}`);
  };
}

function addShow(tenant: Command): void {
  examples(
    named(tenant.command('show').description('one tenant')),
    'admin tenant show --tenant 01890000-0000-7000-8000-000000000000',
  ).action(async (_options: unknown, command: Command) => {
    const options = command.optsWithGlobals<TenantOptions>();
    showObject(options, await findTenant(new Api(options.url), options.tenant));
  });
}

function addCreate(tenant: Command): void {
  examples(
    tenant
      .command('create')
      .description('make a tenant, closed for registration unless said otherwise')
      .requiredOption('--name <text>', 'what it is called')
      .option('--policy <policy>', POLICIES, 'closed')
      .option('--id <uuid>', 'its id; one is made unless given')
      .requiredOption('--reason <text>', 'why; kept in the audit'),
    'admin tenant create --name Shop --policy invite --reason "new customer"',
  ).action(async (_options: unknown, command: Command) => {
    const options = command.optsWithGlobals<TenantOptions>();
    const { id, name, policy = '', reason } = options;
    const answer = await new Api(options.url).request('POST', path, {
      ...(id && { id }),
      name,
      registration: policy.toLowerCase(),
      reason,
    });
    show(options, answer, `tenant ${answer.name}: made, ${answer.registration}, ${answer.tenant_id}`);
  });
}

function addDelete(tenant: Command): void {
  change(tenant, 'delete', 'disable a tenant now, and delete it and its users later', ' --delay-days 7 --yes')
    .option('--delay-days <n>', '0 to 365 days until then, 30 unless given; until then it can be cancelled')
    .option('--yes', 'do not ask')
    .action(async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<TenantOptions>();
      const { delayDays } = options;
      if (delayDays !== undefined && !/^[0-9]{1,4}$/.test(delayDays))
        throw new Fault('--delay-days must be a whole number', 2);
      const api = new Api(options.url);
      const { tenant_id, name } = await findTenant(api, options.tenant);
      await confirm(
        `Delete tenant ${name} (${tenant_id})? It is disabled now; in ${delayDays ?? 30} days its users and NATS accounts are deleted for good.`,
        options.yes,
      );
      const query = new URLSearchParams({
        reason: options.reason,
        ...(delayDays !== undefined && { delay_days: delayDays }),
      });
      const answer = await api.request('DELETE', `${path}/${tenant_id}?${query}`);
      show(options, answer, `tenant ${name}: disabled; it will be deleted at ${answer.delete_after}`);
    });
}

function addCancel(tenant: Command): void {
  change(tenant, 'cancel-deletion', 'keep a tenant that was to be deleted; it stays disabled').action(
    async (_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<TenantOptions>();
      const api = new Api(options.url);
      const { tenant_id, name } = await findTenant(api, options.tenant);
      const { reason } = options;
      const answer = await api.request('POST', `${path}/${tenant_id}/cancel-deletion`, { reason });
      show(options, answer, `tenant ${name}: kept, and ${answer.status}`);
    },
  );
}

/** The tenant of that id or name. @throws Fault when there is none, or when several have the name. */
async function findTenant(api: Api, reference: string): Promise<TenantItem> {
  if (UUID.test(reference)) return (await api.request('GET', `${path}/${reference}`)) as TenantItem;
  const { items } = await listAll(api, path, { q: reference });
  const wanted = reference.trim().toLowerCase();
  const found = (items as unknown as TenantItem[]).filter(({ name }) => name.toLowerCase() === wanted);
  const [first, second] = found;
  if (first === undefined) throw new Fault(`there is no tenant ${reference}`);
  if (second !== undefined)
    throw new Fault(
      `${found.length} tenants are named ${reference}: use the id`,
      2,
      found.map(({ tenant_id }) => `--tenant ${tenant_id}`),
    );
  return first;
}
