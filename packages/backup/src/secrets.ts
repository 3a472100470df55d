import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { BackupFault } from './backup-fault.ts';

/** What a database is of no use without. */
export interface Secrets {
  /** Settings by their names. */
  readonly settings: Readonly<Record<string, string>>;
  /** Files as text, by their path within the folder that a restore writes them into. */
  readonly files: readonly { readonly name: string; readonly content: string }[];
}

/** Settings that belong to the data: other values would make it unreadable, or the platform another one. */
export const settingsOfData: readonly string[] = [
  'GATEHOUSE_SECRET',
  'ENCRYPTION_KEYS',
  'ENCRYPTION_CURRENT_KEY_ID',
  'ENCRYPTION_LOST_KEYS',
  'PASSWORD_PEPPER',
  'PASSWORD_FORMER_PEPPERS',
  'JWT_PRIVATE_KEY_PEM',
  'JWT_PUBLIC_KEY_PEM',
  'JWT_KID',
  'OIDC_KEY_PAIRS',
  'AUDIT_LOG_ORIGIN',
  'TOKEN_ISSUER',
  'TOKEN_AUDIENCE',
  'DEFAULT_TENANT_ID',
];

/** Without these no service starts. */
const REQUIRED = ['GATEHOUSE_SECRET', 'ENCRYPTION_KEYS', 'ENCRYPTION_CURRENT_KEY_ID'];
/** What `npm start` keeps for itself in its home. */
const OF_HOME = ['GATEHOUSE_SECRET', 'ENCRYPTION_KEYS', 'ENCRYPTION_CURRENT_KEY_ID'];
const FILE_BYTES_MAX = 1024 * 1024;

/** Where settings and secrets are looked for. */
export interface SecretsSource {
  /** The environment of the services, completed by their configuration file. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Folder of an installation that `npm start` made. */
  readonly home: string | undefined;
  /** Further files: where they are now, and their name in the backup. */
  readonly files: readonly { readonly path: string; readonly name: string }[];
}

/**
 * Gathers what must be kept beside the data.
 * @throws BackupFault naming what is missing
 */
export function gatherSecrets({ env, home, files }: SecretsSource): Secrets {
  const given = Object.fromEntries(
    settingsOfData.flatMap((name) => (env[name]?.trim() ? [[name, env[name].trim()]] : [])),
  );
  const settings = { ...settingsOfHome(home, given), ...given };
  const missing = REQUIRED.filter((name) => settings[name] === undefined);
  if (missing.length > 0)
    throw new BackupFault(
      `${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} missing in the environment: the data cannot be used without; set them as the services have them, or say --data-only`,
    );
  return {
    settings,
    files: [...files, ...busFiles(env.NATS_CREDS?.trim() || undefined, home)].map(({ path, name }) => ({
      name,
      content: readText(path),
    })),
  };
}

/** The environment wins, as at the start; the keys and the name of the current one go together. */
function settingsOfHome(home: string | undefined, given: Record<string, string>): Record<string, string> {
  if (home === undefined) return {};
  const path = join(home, 'secrets.json');
  const text = readIfThere(path);
  if (text === undefined) return {};
  const kept = parsed(text, path);
  return Object.fromEntries(
    OF_HOME.filter((name) => name === 'GATEHOUSE_SECRET' || given.ENCRYPTION_KEYS === undefined).flatMap(
      (name) => (typeof kept[name] === 'string' ? [[name, kept[name]]] : []),
    ),
  );
}

function parsed(text: string, path: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    throw new BackupFault(`${path} is damaged`);
  }
}

/**
 * What the services log in to the bus with: its private keys are in the database, these are not. The public half of a bus
 * that Gatehouse made lies beside the folder: its servers start with it.
 */
function busFiles(creds: string | undefined, home: string | undefined): { path: string; name: string }[] {
  const folder = creds ?? (home === undefined ? undefined : join(home, 'nats/creds'));
  if (folder === undefined) return [];
  const publicHalf = [join(dirname(folder), 'bus.json')].filter(isFile);
  return [
    ...publicHalf.map((path) => ({ path, name: 'nats/bus.json' })),
    ...credsIn(folder).map((path) => ({ path, name: `nats/creds/${basename(path)}` })),
  ];
}

/** A file, or the `.creds` of a folder. */
function credsIn(path: string): string[] {
  if (isFile(path)) return [path];
  try {
    const names = readdirSync(path).filter((name) => name.endsWith('.creds'));
    return names.sort().map((name) => join(path, name));
  } catch {
    return [];
  }
}

const isFile = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;

function readIfThere(path: string): string | undefined {
  return isFile(path) ? readText(path) : undefined;
}

function readText(path: string): string {
  try {
    const content = readFileSync(path);
    if (content.length > FILE_BYTES_MAX) throw new BackupFault(`${path} is larger than 1 MiB`);
    return content.toString('utf8');
  } catch (error) {
    if (error instanceof BackupFault) throw error;
    throw new BackupFault(`${path} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'failed'})`);
  }
}

/** The settings as a file of lines `NAME=value`, which compose, systemd and `node --env-file` read. */
export const asEnvFile = ({ settings }: Secrets): string =>
  Object.entries(settings)
    .map(([name, value]) => `${name}=${quoted(value.replaceAll('\n', '\\n'))}\n`)
    .join('');

/** Those readers agree on quotes, and on nothing else that is special. */
function quoted(value: string): string {
  if (/^[\w./:=+,@-]*$/.test(value)) return value;
  const quote = ["'", '"', '`'].find((one) => !value.includes(one));
  if (quote === undefined) throw new BackupFault('a setting with all three kinds of quotes fits no env file');
  return `${quote}${value}${quote}`;
}
