import type { Command } from 'commander';
import { Api, type Json } from '../api.ts';
import { confirm } from '../confirm.ts';
import { Fault } from '../fault.ts';
import { type ChangeOptions, changing, create, examples, withReason } from '../nats/change.ts';
import { type NscFile, readNscFolder, writeNscFolder } from '../nats/nsc-folder.ts';
import { findOperator, operators } from '../nats/object.ts';
import { clean, type Globals, show } from '../output.ts';
import { readJwtFile, readSeedFile } from '../secret-file.ts';
import { collect, limitOf, secondsOf, sizeOf } from '../units.ts';

/** Imports may be large. */
const TIMEOUT_MS = 300_000;

/** `gatehouse operator import|export|server-config`. */
export function addOperatorTransfer(operator: Command): void {
  addImport(operator);
  addExport(operator);
  addServerConfig(operator);
}

interface ImportOptions extends ChangeOptions {
  readonly store?: string;
  readonly keys?: string;
  readonly operator?: string;
  readonly name?: string;
  readonly operatorJwt?: string;
  readonly rootSeedFile?: string;
  readonly signingSeedFile?: string[];
  readonly leaveFaulty?: boolean;
}

function addImport(operator: Command): void {
  const command = operator
    .command('import')
    .description('take over an operator: an nsc store with its keys, or an operator’s JWT with seeds')
    .option('--store <folder>', 'nsc’s stores folder, or one operator’s folder in it')
    .option('--keys <folder>', 'nsc’s keys folder; without it everything comes without its private keys')
    .option('--operator <name>', 'which one, when the store holds several')
    .option('--operator-jwt <file>', 'rather than a store: the JWT of an operator')
    .option(
      '--root-seed-file <file>',
      'with --operator-jwt: seed of the root key; without it the root key stays offline',
    )
    .option(
      '--signing-seed-file <file>',
      'with --operator-jwt: seed of a signing key; may be repeated',
      collect,
    )
    .option('--name <name>', 'a name other than the JWT’s')
    .option('--leave-faulty', 'with --store: import what can be, and leave out what cannot');
  examples(
    changing(command),
    'operator import --store ~/.local/share/nats/nsc/stores/main --keys ~/.local/share/nats/nsc/keys',
    'operator import --operator-jwt operator.jwt --signing-seed-file signing.nk',
  ).action(async (_options: unknown, self: Command) => {
    const options = self.optsWithGlobals<ImportOptions>();
    if ((options.store === undefined) === (options.operatorJwt === undefined))
      throw new Fault('say --store with --keys, or --operator-jwt', 2);
    await (options.store === undefined ? importJwt(options) : importStore(options, options.store));
  });
}

async function importStore(options: ImportOptions, store: string): Promise<void> {
  const files: NscFile[] = [
    ...(await readNscFolder(store, 'stores')),
    ...(options.keys === undefined ? [] : await readNscFolder(options.keys, 'keys')),
  ];
  if (!files.some(({ path }) => path.endsWith('.jwt')))
    throw new Fault(`${store} holds no JWT: is it an nsc store?`, 2);
  const path = `/api/nats/import/nsc${options.dryRun ? '?dry_run=true' : ''}`;
  const { operator, name, leaveFaulty } = options;
  const wish = {
    files,
    ...(operator !== undefined && { operator }),
    ...(name !== undefined && { name }),
    ...(leaveFaulty && { leave_faulty: true }),
  };
  const body = withReason(wish, options);
  const { body: answer } = await new Api(options.url).exchange('POST', path, { body, timeoutMs: TIMEOUT_MS });
  show(options, answer, importSentence(answer, options));
}

function importSentence(answer: Json, { dryRun }: ImportOptions): string {
  const { operator, accounts, roles, users } = answer;
  const { name } = operator as { name: string };
  const without = answer.without_seed as string[];
  const leftOut = answer.left_out as { path: string; message: string }[];
  return [
    `operator ${name}: ${dryRun ? 'dry run, would import' : 'imported'} ${accounts} accounts, ${roles} roles, ${users} users`,
    ...(without.length === 0
      ? []
      : [`${without.length} keys came without their private half; nothing is signed with them here`]),
    ...leftOut.map(({ path, message }) => `left out ${path}: ${message}`),
  ].join('\n');
}

async function importJwt(options: ImportOptions): Promise<void> {
  const { operatorJwt = '', rootSeedFile, signingSeedFile = [], name } = options;
  const jwt = await readJwtFile(operatorJwt);
  const signing_seeds: string[] = [];
  for (const path of signingSeedFile) signing_seeds.push(await readSeedFile(path));
  const body = {
    name: name ?? nameOf(jwt),
    import: {
      jwt,
      ...(rootSeedFile !== undefined && { root_seed: await readSeedFile(rootSeedFile) }),
      ...(signing_seeds.length > 0 && { signing_seeds }),
    },
  };
  await create(new Api(options.url), operators.path, body, {
    options,
    done: (answer) => `operator ${answer.name}: imported, root key ${answer.root_key}`,
  });
}

/** The name that an unverified JWT says; the API verifies it. */
function nameOf(jwt: string): string {
  try {
    const { name } = JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString('utf8')) as Json;
    if (typeof name === 'string' && name !== '') return name;
  } catch {
    // told below
  }
  throw new Fault('the JWT says no name: give it one with --name', 2);
}

function addExport(operator: Command): void {
  const command = operator
    .command('export')
    .argument('[operator]', 'name, id or public key; the platform’s own unless given')
    .description('write an operator as an nsc store, with a keys folder when --seeds')
    .requiredOption('--output <folder>', 'a folder that does not exist yet')
    .option('--seeds', 'the private keys too: whoever has them is the operator')
    .option('--reason <text>', 'why; kept in the audit')
    .option('--yes', 'do not ask');
  examples(
    command,
    'operator export main --output backup',
    'operator export main --output backup --seeds --reason "moving"',
  ).action(async (reference: string | undefined, _options: unknown, self: Command) => {
    const options = self.optsWithGlobals<ChangeOptions & { output: string; seeds?: boolean }>();
    const api = new Api(options.url);
    const found = await findOperator(api, reference);
    if (options.seeds) await confirm(`Export every private key of ${found.name}, unencrypted?`, options.yes);
    const { body: answer } = await api.exchange('POST', `${operators.path}/${found.id}/export/nsc`, {
      body: withReason({ seeds: options.seeds === true }, options),
      timeoutMs: TIMEOUT_MS,
    });
    const files = answer.files as NscFile[];
    await writeNscFolder(options.output, files);
    const leftOut = answer.left_out as { path: string; message: string }[];
    for (const { path, message } of leftOut) console.error(clean(`left out ${path}: ${message}`));
    const told = {
      operator_id: found.id,
      operator: found.name,
      output: options.output,
      files: files.length,
      left_out: leftOut,
    };
    show(options, told, `operator ${found.name}: ${files.length} files in ${options.output}`);
  });
}

interface ConfigOptions extends Globals {
  readonly resolver: string;
  readonly serverName?: string;
  readonly cluster?: string;
  readonly route?: string[];
  readonly jetstream?: boolean;
  readonly output?: string;
  readonly [option: string]: unknown;
}

function addServerConfig(operator: Command): void {
  const command = operator
    .command('server-config')
    .argument('[operator]', 'name, id or public key; the platform’s own unless given')
    .description('configuration that makes a nats-server trust the operator')
    .option('--resolver <kind>', 'where servers keep accounts: full, cache or memory', 'full')
    .option('--server-name <name>', 'of the server; each needs its own')
    .option('--listen <address>', 'for clients, as 0.0.0.0:4222')
    .option('--cluster <name>', 'of the cluster it is in')
    .option('--cluster-listen <address>', 'for the other servers, as 0.0.0.0:6222')
    .option('--route <url>', 'another server of the cluster, as nats://host:6222; may be repeated', collect)
    .option('--resolver-dir <folder>', 'where the server keeps accounts; its own and lasting')
    .option('--interval <time>', 'full: between exchanges with the other servers', secondsOf)
    .option('--limit <n>', 'most accounts that it keeps', limitOf)
    .option('--jetstream', 'with JetStream')
    .option('--store-dir <folder>', 'where JetStream keeps streams')
    .option('--max-file <size>', 'JetStream: most bytes on disk', sizeOf)
    .option('--max-memory <size>', 'JetStream: most bytes in memory', sizeOf)
    .option('--output <folder>', 'write the files into this new folder rather than to standard output');
  examples(
    command,
    'operator server-config main > nats.conf',
    'operator server-config main --server-name n1 --cluster c --cluster-listen 0.0.0.0:6222 --route nats://n2:6222 --output n1',
  ).action(async (reference: string | undefined, _options: unknown, self: Command) => {
    const options = self.optsWithGlobals<ConfigOptions>();
    const api = new Api(options.url);
    const found = await findOperator(api, reference);
    const query = configQuery(options);
    const answer = await api.request('GET', `${operators.path}/${found.id}/server-config?${query}`);
    const files = (answer.files ?? []) as NscFile[];
    if (options.output === undefined) {
      if (files.length > 0 && !options.json)
        throw new Fault('the configuration needs further files: say --output FOLDER', 2);
      process.stdout.write(options.json ? `${JSON.stringify(answer, null, 2)}\n` : String(answer.config));
      return;
    }
    await writeNscFolder(options.output, [{ path: 'nats.conf', content: String(answer.config) }, ...files]);
    show(options, { output: options.output }, `${options.output}/nats.conf: check it with nats-server -t -c`);
  });
}

const configParameters: Readonly<Record<string, string>> = {
  resolver: 'resolver',
  serverName: 'server_name',
  listen: 'listen',
  cluster: 'cluster',
  clusterListen: 'cluster_listen',
  resolverDir: 'resolver_dir',
  interval: 'interval_seconds',
  limit: 'limit',
  jetstream: 'jetstream',
  storeDir: 'store_dir',
  maxFile: 'max_file',
  maxMemory: 'max_memory',
};

function configQuery(options: ConfigOptions): URLSearchParams {
  const query = new URLSearchParams();
  for (const [option, parameter] of Object.entries(configParameters)) {
    const value = options[option];
    if (value !== undefined) query.set(parameter, String(value));
  }
  if (options.route !== undefined) query.set('routes', options.route.join(','));
  return query;
}
