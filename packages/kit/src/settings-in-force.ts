import type { Setting, Settings } from './config.ts';
import type { SettingInForce } from './questions.ts';
import type { baseSettings } from './settings.ts';

/**
 * Settings that are each process's own: addresses, and what it reaches by them. That two processes differ in these
 * says nothing; in any other it is drift.
 */
export const settingsOfOneProcess: ReadonlySet<string> = new Set<keyof typeof baseSettings>([
  'GATEHOUSE_CONFIG',
  'HOST',
  'PORT',
  'DATABASE_URL',
  'AUTH_DATABASE_URL',
  'TOKEN_DATABASE_URL',
  'AUDIT_DATABASE_URL',
  'GATEWAY_DATABASE_URL',
  'NATS_IDENTITY_DATABASE_URL',
  'DATABASE_DIRECT_URL',
  'DATABASE_POOL_MAX',
  'NATS_URL',
  'NATS_CREDS',
  'AUTH_URL',
  'TOKEN_URL',
  'AUDIT_URL',
  'NATS_IDENTITY_URL',
  'GATEWAY_URL',
  'OTEL_EXPORTER_OTLP_ENDPOINT',
]);

/** What was read: the environment as completed by the file, and which names the file gave. */
export interface SettingsRead {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly fromFile: ReadonlySet<string>;
}

/** The settings as read, fit to be shown to an administrator: no secret, and nothing that a secret can be made from. */
export function settingsInForce(declared: Settings, { env, fromFile }: SettingsRead): SettingInForce[] {
  return Object.entries(declared).map(([name, setting]) => {
    const given = env[name]?.trim() || undefined;
    return {
      name,
      kind: setting.kind,
      secret: setting.secret,
      default: setting.shown ?? null,
      set: given !== undefined,
      source: given === undefined ? 'default' : fromFile.has(name) ? 'file' : 'environment',
      ...shown(setting, given),
    };
  });
}

const VALUE_CHARS_MAX = 2000;

function shown(setting: Setting<unknown>, given: string | undefined): Pick<SettingInForce, 'value' | 'host'> {
  if (setting.secret) return { value: null, host: given === undefined ? null : hostOf(given) };
  if (given === undefined) return { value: setting.shown ?? null, host: null };
  // A private key in a setting for public ones is a mistake that must not be made worse.
  if (/PRIVATE KEY|"d"\s*:/.test(given)) return { value: null, host: null };
  return { value: withoutLogin(given).slice(0, VALUE_CHARS_MAX), host: null };
}

/** The hosts of a URL, or of several: undefined texts and those of which it is not clear where the login ends have none. */
function hostOf(text: string): string | null {
  const hosts = text.split(',').map((one) => {
    // A password that holds / ? # or @ unescaped would otherwise end as a part of a host.
    const match =
      /^[a-z]+:\/\/(?:[^@/?#\s]*@)?([a-z0-9.-]+|\[[0-9a-f:.]+\])(:\d{1,5})?(?:[/?#][^@]*)?$/i.exec(
        one.trim(),
      );
    return match === null ? undefined : `${match[1]}${match[2] ?? ''}`;
  });
  return hosts.some((host) => host === undefined) ? null : hosts.join(',');
}

const HIDDEN = '(not shown: it may hold a login)';

// A URL that is no secret by its declaration may still carry a login, or a key in its query.
function withoutLogin(text: string): string {
  if (!text.includes('://') || !/[@?#]/.test(text)) return text;
  if (text.includes(',') || !URL.canParse(text)) return HIDDEN;
  const { protocol, host, pathname, search, hash } = new URL(text);
  // Somebody's password ends there that was not escaped, and what looks like the host is a part of it.
  return (pathname + search + hash).includes('@') ? HIDDEN : `${protocol}//${host}${pathname}`;
}
