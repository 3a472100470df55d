import { decodeJwt, JwtError } from './jwt.ts';
import { isPublicKey } from './nkey.ts';

/** An account as a server is told of it. */
export interface PreloadedAccount {
  readonly publicKey: string;
  readonly jwt: string;
}

/** Where a server listens. Host: all addresses unless given. */
export interface Listen {
  readonly host?: string | undefined;
  readonly port: number;
}

/** What the configuration of a nats-server in operator mode is made of. */
export interface ServerConfigOptions {
  /** full: each server keeps every account; cache: asks those that do; memory: knows the accounts given, and no more. */
  readonly resolver: 'full' | 'cache' | 'memory';
  readonly operatorJwt: string;
  readonly systemAccount: PreloadedAccount;
  /** Further accounts that the server knows from the start; with `memory` all that there are. */
  readonly accounts?: readonly PreloadedAccount[] | undefined;
  /** Folder of the resolver's store; default `./jwt`. */
  readonly dir?: string | undefined;
  /** How often full resolvers compare their stores; default 120. */
  readonly intervalSeconds?: number | undefined;
  /** Accounts that a store holds; default: full unlimited, cache 1,000. */
  readonly limit?: number | undefined;
  /** Whether accounts can be deleted from a full resolver; default true. */
  readonly allowDelete?: boolean | undefined;
  /** How long a cached account is good for. */
  readonly ttlSeconds?: number | undefined;
  readonly serverName?: string | undefined;
  readonly listen?: Listen | undefined;
  readonly jetstream?:
    | {
        readonly storeDir: string;
        readonly maxMemoryBytes?: number | undefined;
        readonly maxFileBytes?: number | undefined;
        readonly domain?: string | undefined;
      }
    | undefined;
  readonly monitoring?: Listen | undefined;
  readonly cluster?:
    | { readonly name: string; readonly listen: Listen; readonly routes: readonly string[] }
    | undefined;
}

/** The configuration, and the files that must lie beside it. */
export interface ServerConfig {
  readonly config: string;
  readonly files: readonly { readonly path: string; readonly content: string }[];
}

/** A value that no configuration can be made of. Its message never holds the value. */
export class ServerConfigError extends Error {
  override readonly name = 'ServerConfigError';
}

/** Of `accounts`; included by the configuration. */
const PRELOAD_FILE = 'resolver_preload.conf';

/**
 * Writes a nats-server's configuration (valid for 2.10 and newer). Every text is quoted or held to a form that needs
 * none, so that no name can add a line of its own.
 * @throws ServerConfigError for a value that cannot stand there
 */
export function serverConfig(options: ServerConfigOptions): ServerConfig {
  checkTrust(options);
  const accounts = (options.accounts ?? []).filter(
    ({ publicKey }) => publicKey !== options.systemAccount.publicKey,
  );
  const preload = [options.systemAccount, ...accounts];
  const apart = accounts.length > 0;
  const config = `# NATS server in operator mode, written by Gatehouse.
${serverLines(options)}
operator: ${token(options.operatorJwt)}
system_account: ${options.systemAccount.publicKey}

${resolverLines(options)}

# Before the resolver's store is asked. Write it anew whenever the system account changes: it is the way back in.
${apart ? `include ${PRELOAD_FILE}` : preloadBlock(preload)}
`;
  return { config, files: apart ? [{ path: PRELOAD_FILE, content: `${preloadBlock(preload)}\n` }] : [] };
}

function checkTrust({ operatorJwt, systemAccount }: ServerConfigOptions): void {
  const [operator, system] = [typeOf(operatorJwt), typeOf(systemAccount.jwt)];
  if (operator?.type !== 'operator') throw new ServerConfigError('the operator JWT is none');
  if (system?.type !== 'account' || system.sub !== systemAccount.publicKey)
    throw new ServerConfigError('the system account’s JWT is not its own');
}

function typeOf(jwt: string): { type: unknown; sub: string } | undefined {
  try {
    const { nats, sub } = decodeJwt(jwt);
    return { type: nats.type, sub };
  } catch (error) {
    if (error instanceof JwtError) return undefined;
    throw error;
  }
}

function serverLines({ serverName, listen, jetstream, monitoring, cluster }: ServerConfigOptions): string {
  if (/\s/.test(`${serverName ?? ''}${cluster?.name ?? ''}`))
    throw new ServerConfigError('the name of a server or a cluster cannot have spaces');
  // Such a server does not start.
  if (jetstream && cluster && (cluster.routes.length === 0 || serverName === undefined))
    throw new ServerConfigError('a cluster with JetStream needs routes and a name of the server');
  const lines = [
    serverName !== undefined && `server_name: ${quoted(serverName)}`,
    listen?.host !== undefined && `host: ${quoted(listen.host)}`,
    listen && `port: ${port(listen.port)}`,
    monitoring && `http: ${quoted(address(monitoring))}`,
    jetstream &&
      block('jetstream', [
        `store_dir: ${quoted(jetstream.storeDir)}`,
        jetstream.maxMemoryBytes !== undefined && `max_memory_store: ${whole(jetstream.maxMemoryBytes)}`,
        jetstream.maxFileBytes !== undefined && `max_file_store: ${whole(jetstream.maxFileBytes)}`,
        jetstream.domain !== undefined && `domain: ${quoted(jetstream.domain)}`,
      ]),
    cluster &&
      block('cluster', [
        `name: ${quoted(cluster.name)}`,
        `listen: ${quoted(address(cluster.listen))}`,
        `routes: [${cluster.routes.map(quoted).join(', ')}]`,
      ]),
  ];
  return lines.filter((line) => line !== false && line !== undefined).join('\n');
}

function resolverLines(options: ServerConfigOptions): string {
  if (options.resolver === 'memory') return 'resolver: MEMORY';
  const { dir = './jwt', limit, intervalSeconds = 120, allowDelete = true, ttlSeconds } = options;
  const kept = [
    '# One folder for each server, on a disk that stays; never shared.',
    `dir: ${quoted(dir)}`,
    limit !== undefined && `limit: ${whole(limit)}`,
    'timeout: "1.9s"',
  ];
  if (options.resolver === 'cache')
    return block('resolver', [
      'type: cache',
      ...kept,
      ttlSeconds !== undefined && `ttl: "${whole(ttlSeconds)}s"`,
    ]);
  return block('resolver', [
    'type: full',
    ...kept,
    `allow_delete: ${allowDelete === true}`,
    `interval: "${whole(intervalSeconds)}s"`,
  ]);
}

const preloadBlock = (accounts: readonly PreloadedAccount[]): string =>
  block(
    'resolver_preload',
    accounts.map(({ publicKey, jwt }) => {
      if (!isPublicKey(publicKey, 'account'))
        throw new ServerConfigError('a preloaded account’s key is none');
      return `${publicKey}: ${token(jwt)}`;
    }),
  );

const block = (name: string, lines: readonly (string | false | undefined)[]): string =>
  [`${name} {`, ...lines.filter((line) => line).map((line) => `  ${line}`), '}'].join('\n');

/** A JWT; its characters mean nothing to the configuration's grammar. */
function token(jwt: string): string {
  if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(jwt)) throw new ServerConfigError('a JWT is none');
  return jwt;
}

/** In double quotes the grammar knows `\"`, `\\`, and of JSON's other escapes not all: what needs them is refused. */
function quoted(text: string): string {
  if (text === '' || text.length > 4096 || /[\p{Cc}\u2028\u2029]/u.test(text) || !text.isWellFormed())
    throw new ServerConfigError('a text is empty, too long, or has control characters');
  return `"${text.replace(/[\\"]/g, '\\$&')}"`;
}

function whole(value: number): number {
  if (!Number.isSafeInteger(value) || value < 0) throw new ServerConfigError('a number is not a whole one');
  return value;
}

function port(value: number): number {
  if (!Number.isInteger(value) || value < 1 || value > 65_535) throw new ServerConfigError('a port is none');
  return value;
}

function address({ host = '0.0.0.0', port: at }: Listen): string {
  return `${host.includes(':') && !host.startsWith('[') ? `[${host}]` : host}:${port(at)}`;
}
