import { readFileSync, statSync } from 'node:fs';
import { LineCounter, parseDocument } from 'yaml';
import { ConfigError, type Settings } from './config.ts';

/** Where NIS looked, and where we look when GATEHOUSE_CONFIG does not say. */
export const CONFIG_FILE_DEFAULT = 'config.yaml';
/** Nobody writes so much by hand. */
const BYTES_MAX = 256 * 1024;

type Environment = Readonly<Record<string, string | undefined>>;

/** Names of the guides for settings of ours; where both are given ours counts. */
const aliases = {
  DATABASE_AUTO_MIGRATE: 'MIGRATE_ON_START',
  LOGGING_LEVEL: 'LOG_LEVEL',
} as const;

/** The environment, completed by the configuration file. */
export interface ReadEnvironment {
  readonly env: Environment;
  /** Settings that the file gave. */
  readonly fromFile: ReadonlySet<string>;
  /** What is not wrong enough to stop, a line each. */
  readonly warnings: readonly string[];
}

/** What the file may name besides what NIS' files have. */
export interface ConfigFileOptions {
  /** The settings of the services of this process. */
  readonly settings: Settings;
  /** Whether these are all settings there are: then a name that is not among them is a fault. */
  readonly complete: boolean;
  /** The file to read when GATEHOUSE_CONFIG does not name one, if it is there. */
  readonly fallback?: string;
}

/**
 * Completes the environment by a YAML file as NIS has it: `encryption`, `database`, `logging`, `server`,
 * `auto_migrate`, and any setting by its own name. What the environment says wins.
 * @throws ConfigError with every fault of the file, never a value of it
 */
export function withConfigFile(env: Environment, options: ConfigFileOptions): ReadEnvironment {
  const given = env.GATEHOUSE_CONFIG?.trim() || undefined;
  const path = given ?? options.fallback;
  const read = path === undefined ? undefined : readText(path, given !== undefined);
  const file = path === undefined || read === undefined ? undefined : { path, ...read };
  const settings = file === undefined ? {} : settingsIn(file, options);
  const warnings = file === undefined ? [] : warningsOf(file, settings, options);
  const merged: Record<string, string | undefined> = { ...env };
  const fromFile = new Set<string>();
  for (const [name, value] of Object.entries(settings)) {
    if (named(env, name) !== undefined) continue;
    merged[name] = value;
    fromFile.add(name);
  }
  for (const [alias, name] of Object.entries(aliases)) {
    const value = named(env, alias);
    if (value === undefined || named(env, name) !== undefined) continue;
    merged[name] = value;
    fromFile.delete(name);
  }
  return { env: merged, fromFile, warnings };
}

/** An empty value counts as missing. */
const named = (env: Environment, name: string): string | undefined => env[name]?.trim() || undefined;

function readText(path: string, required: boolean): { text: string; open: boolean } | undefined {
  try {
    const { size, mode } = statSync(path);
    if (size > BYTES_MAX) throw new ConfigError([`${path} has more than ${BYTES_MAX} bytes`]);
    const text = readFileSync(path, 'utf8');
    return { text, open: process.platform !== 'win32' && (mode & 0o004) !== 0 };
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' && !required) return undefined;
    throw new ConfigError([
      `GATEHOUSE_CONFIG: ${path} ${code === 'ENOENT' ? 'is not there' : `cannot be read (${code})`}`,
    ]);
  }
}

type Tree = ReadonlyMap<string, unknown>;

/** A fault of the file on its way to the reader. */
class Faults {
  readonly lines: string[] = [];
  readonly path: string;
  constructor(path: string) {
    this.path = path;
  }
  add(where: string, what: string): undefined {
    this.lines.push(`${this.path}: ${where} ${what}`);
    return undefined;
  }
  end(): void {
    if (this.lines.length > 0) throw new ConfigError(this.lines);
  }
}

function settingsIn(
  { path, text }: { path: string; text: string },
  options: ConfigFileOptions,
): Record<string, string> {
  const faults = new Faults(path);
  const tree = parse(text, faults);
  const settings: Record<string, string> = {};
  const put = (name: string, value: string | undefined) => {
    if (value === undefined || value === '') return;
    if (settings[name] !== undefined && settings[name] !== value) faults.add(name, 'is given twice');
    settings[name] = value;
  };
  for (const [key, value] of tree) {
    const section = Object.hasOwn(sections, key) ? sections[key as keyof typeof sections] : undefined;
    if (section !== undefined) section({ key, value, put, faults });
    else if (key === 'auto_migrate') put('MIGRATE_ON_START', scalar(value, key, faults));
    else if (/^[A-Z][A-Z0-9_]*$/.test(key)) takeSetting(key, value, { put, faults, options });
    else faults.add(key, `is not known (known: ${known.join(', ')}, and settings by their names)`);
  }
  faults.end();
  return settings;
}

function takeSetting(
  key: string,
  value: unknown,
  { put, faults, options }: Pick<Section, 'put' | 'faults'> & { options: ConfigFileOptions },
): void {
  const name = Object.hasOwn(aliases, key) ? aliases[key as keyof typeof aliases] : key;
  if (options.complete && !Object.hasOwn(options.settings, name)) faults.add(key, 'is not a setting');
  else if (name === 'GATEHOUSE_CONFIG') faults.add(key, 'cannot be set in the file itself');
  else if (Array.isArray(value)) put(name, value.map((one) => scalar(one, key, faults) ?? '').join(','));
  else put(name, scalar(value, key, faults));
}

/** What is odd: names that nobody here reads, and secrets that everybody can read. */
function warningsOf(
  { path, open }: { readonly path: string; readonly open: boolean },
  settings: Readonly<Record<string, string>>,
  { settings: declared }: ConfigFileOptions,
): string[] {
  const names = Object.keys(settings);
  // Split up, every process reads the same file and knows only its own settings.
  const unknown = names.filter((name) => !Object.hasOwn(declared, name));
  // Of a setting that is not known here nobody knows whether it is a secret.
  const secret = names.some((name) => declared[name]?.secret ?? true);
  return [
    ...(unknown.length > 0 ? [`${path}: no service of this process reads ${unknown.join(', ')}`] : []),
    ...(open && secret ? [`${path} holds secrets and everybody on this machine can read it: chmod 600`] : []),
  ];
}

// Everything is text (the failsafe schema), so that an id like 2025 or 1e3 stays what was written. No aliases: a few
// lines of them can stand for gigabytes. The parser's own messages quote the source, so only place and code are told.
function parse(text: string, faults: Faults): Tree {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    schema: 'failsafe',
    merge: false,
    stringKeys: true,
    prettyErrors: false,
    logLevel: 'error',
    lineCounter: lines,
  });
  for (const { code, pos } of [...document.errors, ...document.warnings]) {
    const { line, col } = lines.linePos(pos[0]);
    faults.add(`line ${line}, column ${col}`, `is not valid YAML (${code})`);
  }
  faults.end();
  try {
    const tree: unknown = document.toJS({ mapAsMap: true, maxAliasCount: 0 });
    if (tree instanceof Map) return tree;
    if (tree === null || tree === '') return new Map();
  } catch {
    faults.add('the file', 'uses aliases (*name), which are not taken');
    faults.end();
  }
  faults.add('the file', 'is not a map of settings');
  faults.end();
  return new Map();
}

interface Section {
  readonly key: string;
  readonly value: unknown;
  readonly put: (name: string, value: string | undefined) => void;
  readonly faults: Faults;
}

function scalar(value: unknown, where: string, faults: Faults): string | undefined {
  if (value === null || value === undefined) return undefined;
  if (typeof value !== 'string') return faults.add(where, 'must be one value');
  return value.trim();
}

/** The entries of a section, each of which must be known. */
function entries({ key, value, faults }: Section, names: readonly string[]): Map<string, unknown> {
  if (value === null || value === '') return new Map();
  if (!(value instanceof Map)) {
    faults.add(key, 'must be a map');
    return new Map();
  }
  for (const name of value.keys())
    if (!names.includes(name)) faults.add(`${key}.${name}`, `is not known (known: ${names.join(', ')})`);
  return value;
}

const sections = {
  encryption(section: Section) {
    const { put, faults } = section;
    const given = entries(section, ['current_key_id', 'keys']);
    put(
      'ENCRYPTION_CURRENT_KEY_ID',
      scalar(given.get('current_key_id'), 'encryption.current_key_id', faults),
    );
    const keys = given.get('keys');
    if (keys === undefined || keys === null || keys === '') return;
    if (!Array.isArray(keys)) return void faults.add('encryption.keys', 'must be a list of {id, key}');
    const parts = keys.map((entry, index) => {
      const key = `encryption.keys[${index}]`;
      const one = entries({ ...section, key, value: entry }, ['id', 'key']);
      const [id, value] = [
        scalar(one.get('id'), `${key}.id`, faults),
        scalar(one.get('key'), `${key}.key`, faults),
      ];
      if (!id || !value) faults.add(key, 'needs id and key');
      if (/[,:]/.test(id ?? '') || /[,:]/.test(value ?? ''))
        faults.add(key, 'must not hold commas or colons: the id is letters, digits, - and _, the key base64');
      return `${id}:${value}`;
    });
    put('ENCRYPTION_KEYS', parts.join(','));
  },

  database(section: Section) {
    const { put, faults } = section;
    const given = entries(section, databaseKeys);
    const text = (name: string) => scalar(given.get(name), `database.${name}`, faults) || undefined;
    put('MIGRATE_ON_START', text('auto_migrate'));
    const driver = text('driver');
    if (driver !== undefined && !/^(?:postgres(?:ql)?|pgx)$/.test(driver))
      return void faults.add('database.driver', 'must be postgres: nothing else is kept by Gatehouse');
    const [host, user, dbname] = [text('host'), text('user'), text('dbname')];
    if (text('url') !== undefined) return put('DATABASE_URL', text('url'));
    if (host === undefined && user === undefined && dbname === undefined) return;
    if (host === undefined || user === undefined || dbname === undefined)
      return void faults.add('database', 'needs host, user and dbname');
    put(
      'DATABASE_URL',
      databaseUrl(
        { host, user, dbname, port: text('port'), password: text('password'), sslmode: text('sslmode') },
        faults,
      ),
    );
  },

  logging(section: Section) {
    const { put, faults } = section;
    const given = entries(section, ['level', 'format']);
    put('LOG_LEVEL', scalar(given.get('level'), 'logging.level', faults));
    const format = scalar(given.get('format'), 'logging.format', faults);
    if (format !== undefined && format !== '' && format !== 'json')
      faults.add('logging.format', 'must be json (on a terminal of a developer it is readable anyway)');
  },

  server(section: Section) {
    const { put, faults } = section;
    const given = entries(section, ['address', 'host', 'port']);
    put('HOST', scalar(given.get('host'), 'server.host', faults));
    put('PORT', scalar(given.get('port'), 'server.port', faults));
    takeAddress(section, given.get('address'));
  },

  address: (section: Section) => takeAddress(section, section.value),
} satisfies Record<string, (section: Section) => void>;

const databaseKeys = [
  ...['driver', 'url', 'host', 'port', 'user', 'password', 'dbname', 'sslmode'],
  'auto_migrate',
] as const;
const known = [...Object.keys(sections), 'auto_migrate'];

// As Go listens: without a host on every address.
function takeAddress({ put, faults }: Section, value: unknown): void {
  const address = scalar(value, 'address', faults);
  if (address === undefined || address === '') return;
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(address);
  if (match === null) return void faults.add('address', 'must be host:port or :port');
  put('HOST', match[1] ?? (match[2] || '0.0.0.0'));
  put('PORT', match[3]);
}

const sslModes = ['disable', 'require', 'verify-full'];

interface DatabaseParts {
  readonly host: string;
  readonly user: string;
  readonly dbname: string;
  readonly port: string | undefined;
  readonly password: string | undefined;
  readonly sslmode: string | undefined;
}

function databaseUrl(parts: DatabaseParts, faults: Faults): string | undefined {
  const { host, user, dbname, port = '5432', password, sslmode } = parts;
  if (!/^[A-Za-z0-9._-]+$|^\[?[0-9a-fA-F:.]+\]?$/.test(host))
    return faults.add('database.host', 'is not a host');
  if (!/^\d{1,5}$/.test(port)) return faults.add('database.port', 'is not a port');
  if (sslmode !== undefined && !sslModes.includes(sslmode))
    return faults.add('database.sslmode', `must be one of ${sslModes.join(', ')}`);
  const login = [user, ...(password === undefined ? [] : [password])].map(encodeURIComponent).join(':');
  const at = host.includes(':') && !host.startsWith('[') ? `[${host}]` : host;
  // As Postgres' own clients and NIS mean it: require encrypts, verify-full also looks at the certificate.
  const query = sslmode === undefined ? '' : `?uselibpqcompat=true&sslmode=${sslmode}`;
  return `postgres://${login}@${at}:${port}/${encodeURIComponent(dbname)}${query}`;
}
