import { type BaseConfig, isUuid, setting } from '@gatehouse/kit';
import { DEFAULT_TENANT_ID } from '@gatehouse/schema';

/** Fewest characters of a pepper: shorter ones can be guessed. */
const PEPPER_CHARS_MIN = 32;

/** Settings of the auth service. */
export const authSettings = {
  AUTH_LOGIN_MAX_ATTEMPTS: setting.integer({
    default: 5,
    min: 1,
    max: 1000,
    doc: 'Failed sign-ins of one address within the window that lock it.',
  }),
  AUTH_LOGIN_ATTEMPT_WINDOW_MINUTES: setting.integer({
    default: 15,
    min: 1,
    max: 1440,
    doc: 'How long failed sign-ins are counted together, from the first of them.',
  }),
  AUTH_LOGIN_LOCKOUT_MINUTES: setting.integer({
    default: 15,
    min: 1,
    max: 10_080,
    doc: 'How long a lockout lasts.',
  }),
  ARGON2_MEMORY_KIB: setting.integer({
    default: 65_536,
    min: 8,
    max: 4_194_304,
    doc: 'Memory of one password hash in KiB.',
  }),
  ARGON2_ITERATIONS: setting.integer({
    default: 3,
    min: 1,
    max: 100,
    doc: 'Passes over the memory of one password hash.',
  }),
  ARGON2_PARALLELISM: setting.integer({ default: 1, min: 1, max: 64, doc: 'Lanes of one password hash.' }),
  PASSWORD_PEPPER: setting.parsed<Buffer | undefined>('secret text', pepperOf, {
    secret: true,
    doc: `Secret of ${PEPPER_CHARS_MIN} characters or more that is mixed into every new password hash; keep a copy apart from the database.`,
  }),
  PASSWORD_FORMER_PEPPERS: setting.parsed<readonly Buffer[]>(
    'comma-separated secret texts',
    (text) => text.split(',').map((one) => pepperOf(one.trim())),
    {
      default: [],
      secret: true,
      doc: 'Peppers of old: their hashes still verify and are renewed at the next sign-in.',
    },
  ),
  MAX_CONCURRENT_HASHES: setting.parsed<number | undefined>('whole number 1 to 1024', hashesOf, {
    doc: 'Password hashes at the same time in one process; the number of cores unless given.',
  }),
  DEFAULT_TENANT_ID: setting.parsed('UUID', uuidOf, {
    default: DEFAULT_TENANT_ID,
    doc: 'Tenant of whoever names none; it must exist.',
  }),
  GATEHOUSE_ADMIN_EMAIL: setting.optional({
    doc: 'E-mail of the platform administrator who is made at the first start, together with GATEHOUSE_ADMIN_PASSWORD.',
  }),
  GATEHOUSE_ADMIN_PASSWORD: setting.optional({
    secret: true,
    doc: 'Password of the first platform administrator; without effect once there is one.',
  }),
  RATE_LIMIT_ENABLED: setting.flag({
    default: true,
    doc: 'Whether requests are limited; false only for load tests.',
  }),
  RATE_LIMIT_LOGIN_ACCOUNT_MAX: setting.integer({
    default: 60,
    min: 1,
    max: 1_000_000,
    doc: 'Sign-ins of one account, successful or not, in the window below.',
  }),
  RATE_LIMIT_LOGIN_ACCOUNT_WINDOW_SECONDS: setting.integer({
    default: 900,
    min: 1,
    max: 86_400,
    doc: 'Window of RATE_LIMIT_LOGIN_ACCOUNT_MAX.',
  }),
} as const;

/** The settings as read. */
export type AuthConfig = setting.ConfigOf<typeof authSettings>;

/** Settings that contradict each other, a line each; never their values. */
export function settingFaults(config: AuthConfig & BaseConfig): string[] {
  const faults: string[] = [];
  // RFC 9106 §3.1: argon2 refuses less than 8 KiB a lane.
  if (config.ARGON2_MEMORY_KIB < 8 * config.ARGON2_PARALLELISM)
    faults.push('ARGON2_MEMORY_KIB must be at least 8 times ARGON2_PARALLELISM');
  if ((config.GATEHOUSE_ADMIN_EMAIL === undefined) !== (config.GATEHOUSE_ADMIN_PASSWORD === undefined))
    faults.push('GATEHOUSE_ADMIN_EMAIL and GATEHOUSE_ADMIN_PASSWORD go together: give both or neither');
  if (config.NODE_ENV === 'production' && config.ARGON2_MEMORY_KIB < 7168)
    faults.push('ARGON2_MEMORY_KIB is below 7168 (7 MiB), the least that OWASP accepts');
  return faults;
}

function pepperOf(text: string): Buffer {
  if (text.length < PEPPER_CHARS_MIN)
    throw new Error(`is shorter than ${PEPPER_CHARS_MIN} characters; make one with: openssl rand -base64 32`);
  return Buffer.from(text);
}

function hashesOf(text: string): number {
  const value = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (value < 1 || value > 1024) throw new Error('must be a whole number from 1 to 1024');
  return value;
}

function uuidOf(text: string): string {
  if (!isUuid(text)) throw new Error('must be a UUID');
  return text.toLowerCase();
}
