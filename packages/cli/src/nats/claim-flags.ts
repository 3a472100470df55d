import { type Command, Option } from 'commander';
import type { Json } from '../api.ts';
import { Fault } from '../fault.ts';
import { readInput } from '../secret-file.ts';
import { collect, limitOf, nanosecondsOf, sizeOf } from '../units.ts';

/** A claim that has a flag of its own. */
interface ClaimFlag {
  readonly flags: string;
  readonly description: string;
  /** Where it stands in the claims. */
  readonly path: readonly string[];
  readonly parse?: (text: string, before: never) => unknown;
  /** JetStream limits may be of a tier. */
  readonly tiered?: boolean;
}

const permissionsAt = (base: readonly string[]): ClaimFlag[] => [
  ...(['pub', 'sub'] as const).flatMap((direction) =>
    (['allow', 'deny'] as const).map((verdict) => ({
      flags: `--${verdict}-${direction} <subject>`,
      description: `${verdict} to ${direction === 'pub' ? 'publish to' : 'subscribe to'} it; may be repeated`,
      path: [...base, direction, verdict],
      parse: collect,
    })),
  ),
  {
    flags: '--response-max <n>',
    description: 'replies that one request allows',
    path: [...base, 'resp', 'max'],
    parse: limitOf,
  },
  {
    flags: '--response-ttl <time>',
    description: 'for how long a request may be replied to',
    path: [...base, 'resp', 'ttl'],
    parse: nanosecondsOf,
  },
];

const tag: ClaimFlag = {
  flags: '--tag <tag>',
  description: 'name, or name:value; may be repeated',
  path: ['tags'],
  parse: collect,
};

const limits = (base: readonly string[]): ClaimFlag[] => [
  { flags: '--subs <n>', description: 'subscriptions', path: [...base, 'subs'], parse: limitOf },
  { flags: '--data <size>', description: 'bytes in all', path: [...base, 'data'], parse: sizeOf },
  {
    flags: '--payload <size>',
    description: 'bytes of one message',
    path: [...base, 'payload'],
    parse: sizeOf,
  },
];

const jetStream: readonly ClaimFlag[] = (
  [
    ['disk <size>', 'disk storage', 'disk_storage', sizeOf],
    ['memory <size>', 'memory storage', 'mem_storage', sizeOf],
    ['streams <n>', 'streams', 'streams', limitOf],
    ['consumers <n>', 'consumers', 'consumer', limitOf],
    ['max-ack-pending <n>', 'messages of one consumer not yet acknowledged', 'max_ack_pending', limitOf],
    ['disk-stream <size>', 'bytes of one stream on disk', 'disk_max_stream_bytes', sizeOf],
    ['memory-stream <size>', 'bytes of one stream in memory', 'mem_max_stream_bytes', sizeOf],
  ] as const
).map(([flag, what, field, parse]) => ({
  flags: `--jetstream-${flag}`,
  description: `JetStream: ${what}`,
  path: ['limits', field],
  parse,
  tiered: true,
}));

/** The flags of a user, and of a role, which says for its users what they would say themselves. */
export const roleFlags: readonly ClaimFlag[] = [
  ...permissionsAt([]),
  ...limits([]),
  {
    flags: '--src <cidr>',
    description: 'only from this network; may be repeated',
    path: ['src'],
    parse: collect,
  },
  {
    flags: '--time <start-end>',
    description: 'only at this time of day, as 08:00:00-18:00:00; may be repeated',
    path: ['times'],
    parse: timesOf,
  },
  { flags: '--time-zone <name>', description: 'of --time, as Europe/Madrid', path: ['times_location'] },
  { flags: '--bearer', description: 'the JWT alone signs in', path: ['bearer_token'] },
  { flags: '--no-bearer', description: 'the key must be shown too', path: ['bearer_token'] },
  {
    flags: '--connection-type <type>',
    description: 'STANDARD, WEBSOCKET, MQTT, …; may be repeated',
    path: ['allowed_connection_types'],
    parse: collect,
  },
];
export const userFlags: readonly ClaimFlag[] = [...roleFlags, tag];

export const accountFlags: readonly ClaimFlag[] = [
  { flags: '--conn <n>', description: 'client connections', path: ['limits', 'conn'], parse: limitOf },
  { flags: '--leaf <n>', description: 'leaf node connections', path: ['limits', 'leaf'], parse: limitOf },
  ...limits(['limits']),
  { flags: '--imports <n>', description: 'imports', path: ['limits', 'imports'], parse: limitOf },
  { flags: '--exports <n>', description: 'exports', path: ['limits', 'exports'], parse: limitOf },
  { flags: '--disallow-bearer', description: 'refuse bearer users', path: ['limits', 'disallow_bearer'] },
  { flags: '--no-disallow-bearer', description: 'take bearer users', path: ['limits', 'disallow_bearer'] },
  ...jetStream,
  ...permissionsAt(['default_permissions']),
  tag,
  { flags: '--description <text>', description: 'what it is for', path: ['description'] },
  { flags: '--info-url <url>', description: 'where more is told', path: ['info_url'] },
  {
    flags: '--cluster-traffic <which>',
    description: 'system or owner: whose account carries replication',
    path: ['cluster_traffic'],
  },
];

export const operatorFlags: readonly ClaimFlag[] = [
  { flags: '--account-server-url <url>', description: 'of the account server', path: ['account_server_url'] },
  {
    flags: '--service-url <url>',
    description: 'where clients connect, as nats://host:4222; may be repeated',
    path: ['operator_service_urls'],
    parse: collect,
  },
  {
    flags: '--assert-server-version <version>',
    description: 'older servers refuse to start, as 2.10.0',
    path: ['assert_server_version'],
  },
  {
    flags: '--strict',
    description: 'only signing keys count (the default)',
    path: ['strict_signing_key_usage'],
  },
  { flags: '--no-strict', description: 'the root key may sign too', path: ['strict_signing_key_usage'] },
  tag,
];

/** Adds the flags of a kind, `--claims` and (for changes) `--unset` to a command. */
export function addClaimFlags(
  command: Command,
  flags: readonly ClaimFlag[],
  { update = false }: { readonly update?: boolean } = {},
): Command {
  for (const { flags: spelling, description, parse } of flags) {
    const option = new Option(spelling, description);
    if (parse) option.argParser(parse as (text: string, before: unknown) => unknown);
    command.addOption(option);
  }
  if (flags.some(({ tiered }) => tiered))
    command.option(
      '--jetstream-tier <name>',
      'the --jetstream-… of this command are of this tier: R1, R3 or R5',
    );
  if (update)
    command.option('--unset <claim>', 'take a claim away, as limits.payload; may be repeated', collect);
  return command.option(
    '--claims <file>',
    'further claims as a JSON merge patch, in nats-server’s field names; - reads standard input',
  );
}

/** The claims that a command line asks for, as a JSON merge patch; undefined when it asks for none. */
export async function claimsFrom(flags: readonly ClaimFlag[], options: Json): Promise<Json | undefined> {
  const patch: Json = {};
  if (typeof options.claims === 'string') Object.assign(patch, await readClaims(options.claims));
  const tier = options.jetstreamTier;
  for (const { flags: spelling, path, tiered } of flags) {
    const value = options[new Option(spelling).attributeName()];
    if (value === undefined) continue;
    set(
      patch,
      tiered && typeof tier === 'string' ? ['limits', 'tiered_limits', tier, ...path.slice(1)] : path,
      value,
    );
  }
  for (const claim of (options.unset as string[] | undefined) ?? []) set(patch, claim.split('.'), null);
  return Object.keys(patch).length === 0 ? undefined : patch;
}

async function readClaims(path: string): Promise<Json> {
  const text = await readInput(path);
  const from = path === '-' ? 'standard input' : path;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Fault(`${from} is not JSON`, 2);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Fault(`${from} must hold one JSON object of claims`, 2);
  return value as Json;
}

function set(target: Json, path: readonly string[], value: unknown): void {
  const [name = '', ...rest] = path;
  if (name === '' || name === '__proto__') throw new Fault(`${path.join('.')} does not name a claim`, 2);
  if (rest.length === 0) {
    target[name] = value;
    return;
  }
  const below = target[name];
  const next = typeof below === 'object' && below !== null && !Array.isArray(below) ? (below as Json) : {};
  target[name] = next;
  set(next, rest, value);
}

function timesOf(text: string, before: readonly unknown[] | undefined): unknown[] {
  const [, start, end] = /^(\d{2}:\d{2}:\d{2})-(\d{2}:\d{2}:\d{2})$/.exec(text) ?? [];
  if (start === undefined) throw new Fault(`--time ${text}: say it as 08:00:00-18:00:00`, 2);
  return [...(before ?? []), { start, end }];
}
