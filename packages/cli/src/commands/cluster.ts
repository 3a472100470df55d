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
  sentence,
  update,
  updating,
} from '../nats/change.ts';
import { type ListOptions, listing, showList, showOne } from '../nats/listing.ts';
import { clusters, find, findOperator, operatorFilter, type Scope } from '../nats/object.ts';
import { type Globals, show } from '../output.ts';
import { readInput } from '../secret-file.ts';
import { collect } from '../units.ts';
import { addClusterState } from './cluster-state.ts';

interface ClusterOptions extends ChangeOptions, Scope {
  readonly name?: string;
  readonly server?: string[];
  readonly creds?: string;
  readonly ownCreds?: boolean;
  readonly description?: string;
}

/** `gatehouse cluster …`: the NATS servers that enforce it all. */
export function addCluster(program: Command): void {
  const cluster = program
    .command('cluster')
    .description('clusters of NATS servers: what they hold against what they should');
  examples(
    listing(cluster.command('list').description('clusters, the newest first')).option(
      '--operator <operator>',
      'only of this operator',
    ),
    'cluster list',
  ).action(async (_options: unknown, command: Command) => {
    const options = command.optsWithGlobals<ListOptions & Scope>();
    await showList(clusters.path, options, {
      columns: ['name', 'healthy', 'accounts', 'foreign', 'resolver', 'synced_at', 'servers'],
      filters: (api) => operatorFilter(api, options),
      row: (one) => ({ ...one, accounts: countsOf(one.accounts) }),
    });
  });
  examples(
    cluster.command('get').argument('<cluster>', 'name or id').description('one cluster'),
    'cluster get main',
  ).action(async (reference: string, _options: unknown, command: Command) => {
    await showOne(clusters, command.optsWithGlobals<Globals>(), (api) => find(api, clusters, reference));
  });
  addCreate(cluster);
  addUpdate(cluster);
  examples(
    deleting(
      cluster
        .command('delete')
        .argument('<cluster>', 'name or id')
        .description('manage it no longer; nothing is deleted on it'),
    ),
    'cluster delete old --reason "switched off"',
  ).action(async (reference: string, _options: unknown, command: Command) => {
    const options = command.optsWithGlobals<ClusterOptions>();
    const api = new Api(options.url);
    await remove(api, clusters, await find(api, clusters, reference), { options, done: 'managed no longer' });
  });
  addForgetServer(cluster);
  addClusterState(cluster);
}

/** `12 in_sync, 1 pending`. */
function countsOf(accounts: unknown): string {
  const counts = Object.entries((accounts ?? {}) as Record<string, number>).filter(([, count]) => count > 0);
  return counts.map(([state, count]) => `${count} ${state}`).join(', ');
}

function addCreate(cluster: Command): void {
  examples(
    changing(
      cluster
        .command('create')
        .argument('<name>', 'of the new cluster')
        .description('register a cluster; every account of its operator is brought to it')
        .option(
          '--operator <operator>',
          'whom its servers trust; the platform’s own, or the only one, unless given',
        )
        .requiredOption('--server <url>', 'one of its servers, as nats://host:4222; may be repeated', collect)
        .option(
          '--creds <file>',
          'of a user of the system account; without it they are made on the fly; - reads standard input',
        )
        .option('--description <text>', 'what it is for'),
    ),
    'cluster create main --operator main --server nats://a.example.com:4222 --server nats://b.example.com:4222',
  ).action(async (name: string, _options: unknown, self: Command) => {
    const options = self.optsWithGlobals<ClusterOptions>();
    const api = new Api(options.url);
    const { server: servers = [], creds, description } = options;
    const body = {
      name,
      servers,
      ...(creds !== undefined && { creds: await readInput(creds) }),
      ...(description !== undefined && { description }),
      operator_id: (await findOperator(api, options.operator)).id,
    };
    await create(api, clusters.path, body, { options, done: () => `cluster ${name}: registered` });
  });
}

function addUpdate(cluster: Command): void {
  examples(
    updating(
      cluster
        .command('update')
        .argument('<cluster>', 'name or id')
        .description('change where a cluster is, how it is reached, or its name')
        .option('--name <name>', 'a new name')
        .option('--server <url>', 'one of its servers; may be repeated; all of them are said anew', collect)
        .option('--creds <file>', 'of a user of the system account; - reads standard input')
        .option('--own-creds', 'go back to credentials made on the fly')
        .option('--description <text>', 'what it is for'),
    ),
    'cluster update main --server nats://a.example.com:4222 --server nats://c.example.com:4222',
  ).action(async (reference: string, _options: unknown, self: Command) => {
    const options = self.optsWithGlobals<ClusterOptions>();
    const api = new Api(options.url);
    await update(api, clusters, await find(api, clusters, reference), {
      options,
      body: await changeOf(options),
    });
  });
}

async function changeOf({ name, server, creds, ownCreds, description }: ClusterOptions): Promise<Json> {
  return {
    ...(name !== undefined && { name }),
    ...(server !== undefined && { servers: server }),
    ...(creds !== undefined && { creds: await readInput(creds) }),
    ...(ownCreds && { creds: null }),
    ...(description !== undefined && { description }),
  };
}

function addForgetServer(cluster: Command): void {
  examples(
    changing(
      cluster
        .command('forget-server')
        .argument('<cluster>', 'name or id')
        .argument('<server>', 'its name, as "cluster health" shows it')
        .description('wait no longer for a server that was taken out for good'),
    ).option('--yes', 'do not ask'),
    'cluster forget-server main n3 --reason "replaced by n4"',
  ).action(async (reference: string, server: string, _options: unknown, command: Command) => {
    const options = command.optsWithGlobals<ClusterOptions>();
    const api = new Api(options.url);
    const found = await find(api, clusters, reference);
    const { dryRun, reason, yes } = options;
    if (!dryRun) await confirm(`Forget the server ${server} of ${found.name}?`, yes);
    const query = new URLSearchParams({
      ...(reason !== undefined && { reason }),
      ...(dryRun && { dry_run: 'true' }),
    });
    const path = `${clusters.path}/${found.id}/servers/${encodeURIComponent(server)}?${query}`;
    const answer = await api.request('DELETE', path);
    show(options, answer, sentence(`cluster ${found.name}: ${server} is forgotten`, answer));
  });
}
