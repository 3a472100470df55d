import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { repositoryRoot } from '@gatehouse/embedded';
import { endingSeconds, requiredOf, settings, settingsOf } from './catalogue.ts';

/** A service as Compose's own loader gives it back, its variables put in and its `extends` carried out. */
export interface ComposeService {
  readonly image: string;
  readonly command?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly user?: string;
  readonly read_only?: boolean;
  readonly privileged?: boolean;
  readonly cap_drop?: readonly string[];
  readonly cap_add?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly network_mode?: string;
  readonly networks?: Readonly<Record<string, unknown>>;
  readonly ports?: readonly { readonly host_ip?: string }[];
  readonly logging?: { readonly options?: Readonly<Record<string, string>> };
  readonly healthcheck?: { readonly disable?: boolean; readonly test?: readonly string[] };
  readonly restart?: string;
  readonly stop_grace_period?: string;
  readonly volumes?: readonly { readonly type: string; readonly source: string; readonly target: string }[];
  readonly deploy?: {
    readonly replicas?: number;
    readonly resources?: { readonly limits?: { cpus?: number; memory?: string; pids?: number } };
  };
}

/** A whole file. */
export interface ComposeFile {
  readonly services: Readonly<Record<string, ComposeService>>;
}

/** What `docker compose config` answers: what it would start, or why it refuses. */
export function loadCompose(
  program: string,
  about: { file: string; envFile: string; profiles?: string },
): { file?: ComposeFile; fault?: string } {
  const { status, stdout, stderr } = spawnSync(
    program,
    ['--env-file', about.envFile, '-f', about.file, 'config', '--format', 'json'],
    { encoding: 'utf8', env: { PATH: process.env.PATH, HOME: '/nowhere', COMPOSE_ENV_FILE: about.envFile } },
  );
  return status === 0 ? { file: JSON.parse(stdout) as ComposeFile } : { fault: stderr };
}

const processOf = ({ command }: ComposeService): string | undefined =>
  /services\/([a-z-]+)\/src\/main\.ts/.exec((command ?? []).join(' '))?.[1];

/** What is wrong with a file. */
export function composeFaults({ services }: ComposeFile): string[] {
  return [
    ...Object.entries(services).flatMap(([name, service]) =>
      [
        ...accountFaults(name, service),
        ...boundFaults(service),
        ...settingFaults(service),
        ...commandFaults(service),
      ].map((fault) => `${name} ${fault}`),
    ),
    ...connectionFaults(services),
  ];
}

/** Their entry point hands its volume over as root, and then is `postgres`. */
const STARTS_AS_ROOT = new Set(['db']);

function accountFaults(name: string, one: ComposeService): string[] {
  const rules: [boolean, string][] = [
    [STARTS_AS_ROOT.has(name) || /^[1-9]\d*:[1-9]\d*$/.test(one.user ?? ''), 'may run as root'],
    [one.read_only === true, 'can write to its root file system'],
    [String(one.cap_drop) === 'ALL', 'keeps capabilities'],
    [STARTS_AS_ROOT.has(name) || !one.cap_add, 'is given capabilities'],
    [(one.security_opt ?? []).includes('no-new-privileges:true'), 'may gain privileges'],
    [!one.privileged && one.network_mode !== 'host', 'shares the machine'],
    [/:\d+\.\d+[\w.-]*$|:local$|@sha256:/.test(one.image), `runs ${one.image}, which is not one version`],
    [!(one.volumes ?? []).some(({ source }) => source.endsWith('docker.sock')), 'rules the engine'],
    [(one.ports ?? []).every(({ host_ip }) => host_ip === '127.0.0.1'), 'listens to the world'],
  ];
  return rules.filter(([holds]) => !holds).map(([, fault]) => fault);
}

const MIB = 1024 * 1024;
const HASH_MIB = 64;
const SERVICE_MIB = 256;

function boundFaults(one: ComposeService): string[] {
  const limits = one.deploy?.resources?.limits ?? {};
  const once = one.restart === 'no';
  const process = processOf(one);
  const hashes = Number(one.environment?.MAX_CONCURRENT_HASHES ?? Number.NaN);
  const hashing = process === 'auth' || process === 'all-in-one';
  const grace = Number(/^(?:(\d+)m)?(\d+)s$/.exec(one.stop_grace_period ?? '10s')?.[2]);
  const rules: [boolean, string][] = [
    [limits.cpus !== undefined, 'has no limit of cpus'],
    [limits.memory !== undefined, 'has no limit of memory'],
    [limits.pids !== undefined, 'has no limit of processes'],
    [one.logging?.options?.['max-size'] !== undefined, 'fills the disk with its log'],
    [once || (one.healthcheck?.test ?? []).length > 0, 'is never asked for its health'],
    [once || one.restart === 'unless-stopped', 'stays away when it ends'],
    [!process || grace >= endingSeconds(one.environment ?? {}) + 5, 'is killed while it drains'],
    [
      !hashing || Number(limits.memory) / MIB >= SERVICE_MIB + hashes * HASH_MIB,
      'has too little memory for its hashes',
    ],
  ];
  return rules.filter(([holds]) => !holds).map(([, fault]) => fault);
}

/** What stands in the env file for Compose itself: the services are given the file whole. */
const OF_COMPOSE = new Set([
  ...['COMPOSE_PROFILES', 'COMPOSE_ENV_FILE', 'GATEHOUSE_IMAGE', 'GATEHOUSE_VERSION', 'GATEWAY_LISTEN'],
  ...['POSTGRES_USER', 'POSTGRES_DB'],
]);

function settingFaults(one: ComposeService): string[] {
  const process = processOf(one);
  if (process === undefined) return [];
  const given = Object.entries(one.environment ?? {}).filter(
    ([name, value]) => value !== '' && !OF_COMPOSE.has(name),
  );
  const names = new Set(given.map(([name]) => name));
  const own = settingsOf(process);
  // What all are given may be of the whole platform; what names a place must be read by the one it is given to.
  return [
    ...given
      .filter(([name]) => settings[name] === undefined)
      .map(([name]) => `is given ${name}, which is no setting`),
    ...given
      .filter(([name, value]) => value.startsWith('/') && settings[name] && own[name] === undefined)
      .map(([name]) => `is given ${name}, which it does not read`),
    ...requiredOf(process)
      .filter((name) => !names.has(name))
      .map((name) => `is not given ${name}`),
    ...given
      .filter(([, value]) => value.startsWith('/home/node/'))
      .filter(([, value]) => !(one.volumes ?? []).some(({ target }) => value.startsWith(target)))
      .map(([name]) => `reads ${name} at a place where nothing is mounted`),
  ];
}

function commandFaults({ command = [], image }: ComposeService): string[] {
  if (!/gatehouse/.test(image)) return [];
  const [program, ...words] = command;
  if (program === 'node')
    return existsSync(join(repositoryRoot, words[0] ?? '')) ? [] : [`runs ${words[0]}, which is not there`];
  if (program !== 'gatehouse') return [`runs ${program}, which the image does not have`];
  const fault = helpFault(words.join(' '));
  return fault === undefined ? [] : [`runs a command that there is not: ${fault}`];
}

const asked = new Map<string, string | undefined>();

/** Whether the gatehouse command knows these words; why not, unless it does. Of unknown ones it shows the group. */
function helpFault(words: string): string | undefined {
  if (!asked.has(words)) {
    const main = join(repositoryRoot, 'packages/cli/src/main.ts');
    const { stdout, stderr } = spawnSync(process.execPath, [main, ...words.split(' '), '--help'], {
      encoding: 'utf8',
    });
    const command = words.replace(/ --.*/, '');
    const known = stdout.startsWith(`Usage: gatehouse ${command} `);
    asked.set(words, known ? undefined : stderr || stdout.split('\n')[0]);
  }
  return asked.get(words);
}

/** Kept for people with psql, and by Postgres for its superuser. */
const SPARE_CONNECTIONS = 20;

function connectionFaults(services: Readonly<Record<string, ComposeService>>): string[] {
  const limit = Number(
    /max_connections=(\d+)/.exec((services.db?.command ?? []).join(' '))?.[1] ?? Number.NaN,
  );
  if (Number.isNaN(limit)) return [];
  const used = Object.values(services).map((one) => {
    const process = processOf(one);
    if (process === undefined) return 0;
    const pools = process === 'all-in-one' ? 5 : 1;
    const each = Number(one.environment?.DATABASE_POOL_MAX ?? settings.DATABASE_POOL_MAX?.shown);
    return pools * each * (one.deploy?.replicas ?? 1);
  });
  const sum = used.reduce((total, one) => total + one, 0);
  return sum + SPARE_CONNECTIONS <= limit ? [] : [`the services may take ${sum} connections, of ${limit}`];
}
