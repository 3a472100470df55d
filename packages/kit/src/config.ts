/**
 * Settings from the environment: declared once, read in one place, all faults reported at once.
 * A fault names the setting and what is wrong with it, never its value.
 */

/** One declared setting. */
export interface Setting<T> {
  readonly kind: string;
  readonly doc: string;
  /** The default as text for docs/config.md; undefined when there is none. */
  readonly shown: string | undefined;
  readonly secret: boolean;
  readonly requiredIn: 'always' | 'production' | 'never';
  parse(text: string): T;
  readonly fallback: T | undefined;
}

/** The settings of one service. */
export type Settings = Readonly<Record<string, Setting<unknown>>>;

/** The values that reading `S` yields. */
export type ConfigOf<S extends Settings> = {
  readonly [K in keyof S]: S[K] extends Setting<infer T> ? T : never;
};

/** Every fault of the environment, one line each. */
export class ConfigError extends Error {
  readonly faults: readonly string[];
  constructor(faults: readonly string[]) {
    super(`the settings cannot be used:\n${faults.map((fault) => `  ${fault}`).join('\n')}`);
    this.name = 'ConfigError';
    this.faults = faults;
  }
}

interface Common<T> {
  doc: string;
  default?: T;
  /** The default as one writes it, where that is not its text. */
  shown?: string;
  secret?: boolean;
  requiredIn?: 'always' | 'production';
}

function setting<T>(kind: string, about: Common<T>, parse: (text: string) => T): Setting<T> {
  return {
    kind,
    doc: about.doc,
    shown: about.shown ?? (about.default === undefined ? undefined : shownDefault(about.default)),
    secret: about.secret ?? false,
    requiredIn: about.requiredIn ?? 'never',
    parse,
    fallback: about.default,
  };
}

const shownDefault = (value: unknown): string => (Array.isArray(value) ? value.join(',') : String(value));

/** A whole number within bounds. */
export function integer(about: Common<number> & { min: number; max: number }): Setting<number> {
  return setting(`whole number ${about.min} to ${about.max}`, about, (text) => {
    if (!/^-?\d{1,15}$/.test(text)) throw new Error('must be a whole number');
    const value = Number(text);
    if (value < about.min || value > about.max) throw new Error(`must be from ${about.min} to ${about.max}`);
    return value;
  });
}

/** `true` or `false` (also 1 and 0). */
export function flag(about: Common<boolean>): Setting<boolean> {
  return setting('true or false', about, (text) => {
    if (text === 'true' || text === '1') return true;
    if (text === 'false' || text === '0') return false;
    throw new Error('must be true or false');
  });
}

/** One of the given words. */
export function choice<const T extends string>(words: readonly T[], about: Common<NoInfer<T>>): Setting<T> {
  return setting<T>(words.join(' or '), about, (text) => {
    const found = words.find((word) => word === text);
    if (found === undefined) throw new Error(`must be one of ${words.join(', ')}`);
    return found;
  });
}

/** Any text; `parse` may turn it into something better and throws with what is wrong. */
export function text(about: Common<string>): Setting<string> {
  return setting('text', about, (value) => value);
}

/** A text that may be missing. */
export function optional(about: Omit<Common<string>, 'default'>): Setting<string | undefined> {
  return setting<string | undefined>('text', about, (value) => value);
}

/** Comma-separated values. */
export function list(about: Common<readonly string[]>): Setting<readonly string[]> {
  return setting<readonly string[]>('comma-separated list', about, (value) =>
    value
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== ''),
  );
}

/** A URL with one of the given protocols. */
export function url(protocols: readonly string[], about: Common<string>): Setting<string> {
  return setting('URL', about, (value) => checkUrl(value, protocols));
}

/** A URL that may be missing. */
export function optionalUrl(
  protocols: readonly string[],
  about: Omit<Common<string>, 'default'>,
): Setting<string | undefined> {
  return setting<string | undefined>('URL', about, (value) => checkUrl(value, protocols));
}

/** Addresses of the instances of one service: origins, comma-separated; may be missing. */
export function optionalOrigins(
  about: Omit<Common<readonly string[]>, 'default'>,
): Setting<readonly string[] | undefined> {
  return setting<readonly string[] | undefined>('URL, or several with commas', about, (value) => {
    const origins = value.split(',').map((one) => originOf(one.trim()));
    if (new Set(origins).size < origins.length) throw new Error('names an address twice');
    if (origins.length > ORIGINS_MAX) throw new Error(`may name at most ${ORIGINS_MAX} addresses`);
    return origins;
  });
}

/** Each is a label of metrics, and is asked whether it is ready. */
const ORIGINS_MAX = 64;

function originOf(text: string): string {
  const { origin, pathname, search, hash, username, password } = new URL(checkUrl(text, ['http:', 'https:']));
  if (pathname !== '/' || search + hash + username + password !== '')
    throw new Error('must be scheme://host[:port], without anything behind');
  return origin;
}

function checkUrl(value: string, protocols: readonly string[]): string {
  const protocol = URL.canParse(value) ? new URL(value).protocol : undefined;
  if (protocol === undefined || !protocols.includes(protocol))
    throw new Error(`must be a URL that starts with ${protocols.join(' or ')}//`);
  return value;
}

/** A required secret, parsed by a function that throws what is wrong without saying the value. */
export function secret<T>(
  parse: (value: string) => T,
  about: { doc: string; requiredIn: 'always' },
): Setting<T> {
  return setting('secret', { ...about, secret: true }, parse);
}

/** A setting parsed by a function that throws what is wrong. */
export function parsed<T>(kind: string, parse: (value: string) => T, about: Common<T>): Setting<T> {
  return setting(kind, about, parse);
}

/**
 * Reads every declared setting from `env`. An empty value counts as missing.
 * @throws ConfigError with all faults at once.
 */
export function readConfig<S extends Settings>(
  settings: S,
  env: Readonly<Record<string, string | undefined>>,
): ConfigOf<S> {
  const faults: string[] = [];
  const values: Record<string, unknown> = {};
  const production = env.NODE_ENV === 'production';
  for (const [name, declared] of Object.entries(settings)) {
    const given = env[name]?.trim();
    if (given === undefined || given === '') {
      const required =
        declared.requiredIn === 'always' || (declared.requiredIn === 'production' && production);
      if (required) faults.push(`${name} is missing: ${declared.doc}`);
      values[name] = declared.fallback;
      continue;
    }
    try {
      values[name] = declared.parse(given);
    } catch (error) {
      const fault = error instanceof Error ? error.message : 'is not valid';
      faults.push(fault.startsWith(name) ? fault : `${name} ${fault}`);
    }
  }
  if (faults.length > 0) throw new ConfigError(faults);
  return values as ConfigOf<S>;
}
