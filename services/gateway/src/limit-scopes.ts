import { setting } from '@gatehouse/kit';

/**
 * What is limited apart from what. `login` also takes what else costs a password hash. The oidc scopes are settings
 * only: the provider's routes join the table below when they exist.
 */
export const limitScopes = [
  'login',
  'register',
  'refresh',
  'oidc_token',
  'oidc_userinfo',
  'oidc_authorize',
  'admin',
  'default',
] as const;
export type LimitScope = (typeof limitScopes)[number];

const max = (fallback: number, what: string) =>
  setting.integer({
    default: fallback,
    min: 1,
    max: 10_000_000,
    doc: `${what} that one address may send in a window.`,
  });
const window = (of: string) =>
  setting.integer({ default: 60, min: 1, max: 86_400, doc: `Length of the window of ${of}, in seconds.` });

/**
 * An office of 300 behind one address signs in within a quarter of an hour (20 a minute) and refreshes every 15 minutes
 * (20 a minute); an attacker at 60 a minute tries 12 accounts, each locked after 5, and costs 6 seconds of hashing.
 */
export const limitSettings = {
  RATE_LIMIT_ENABLED: setting.flag({
    default: true,
    doc: 'Whether requests are limited; false only for load tests.',
  }),
  RATE_LIMIT_LOGIN_MAX: max(60, 'Sign-ins and password changes'),
  RATE_LIMIT_LOGIN_WINDOW_SECONDS: window('RATE_LIMIT_LOGIN_MAX'),
  RATE_LIMIT_REGISTER_MAX: max(20, 'Registrations'),
  RATE_LIMIT_REGISTER_WINDOW_SECONDS: window('RATE_LIMIT_REGISTER_MAX'),
  RATE_LIMIT_REFRESH_MAX: max(600, 'Refreshes'),
  RATE_LIMIT_REFRESH_WINDOW_SECONDS: window('RATE_LIMIT_REFRESH_MAX'),
  RATE_LIMIT_OIDC_TOKEN_MAX: max(600, 'Requests to the OpenID token endpoint'),
  RATE_LIMIT_OIDC_TOKEN_WINDOW_SECONDS: window('RATE_LIMIT_OIDC_TOKEN_MAX'),
  RATE_LIMIT_OIDC_USERINFO_MAX: max(600, 'Requests to the OpenID userinfo endpoint'),
  RATE_LIMIT_OIDC_USERINFO_WINDOW_SECONDS: window('RATE_LIMIT_OIDC_USERINFO_MAX'),
  RATE_LIMIT_OIDC_AUTHORIZE_MAX: max(120, 'Requests to the OpenID authorisation endpoint'),
  RATE_LIMIT_OIDC_AUTHORIZE_WINDOW_SECONDS: window('RATE_LIMIT_OIDC_AUTHORIZE_MAX'),
  RATE_LIMIT_ADMIN_MAX: max(300, 'Requests of administrators'),
  RATE_LIMIT_ADMIN_WINDOW_SECONDS: window('RATE_LIMIT_ADMIN_MAX'),
  RATE_LIMIT_DEFAULT_MAX: max(1200, 'Requests of every other kind'),
  RATE_LIMIT_DEFAULT_WINDOW_SECONDS: window('RATE_LIMIT_DEFAULT_MAX'),
} as const;

const ofOperation: ReadonlyMap<string, LimitScope> = new Map([
  ['POST /api/auth/login', 'login'],
  ['POST /api/auth/password', 'login'],
  ['POST /api/auth/register', 'register'],
  ['POST /api/auth/refresh', 'refresh'],
]);
const adminPrefix = /^\/(?:api\/admin|api\/audit|api\/nats|protected\/admin)\//;

/** Asked by machines of the operator, many times a minute, and cheap; the JWKS by every verifier there is. */
const unlimited: ReadonlySet<string> = new Set([
  '/health',
  '/health/live',
  '/health/ready',
  '/healthz',
  '/readyz',
  '/ready',
  '/metrics',
  '/.well-known/jwks.json',
]);

/** The scope that a request counts in; undefined when it is not limited. `path` is decoded (see edge-path.ts). */
export function scopeOf(method: string, path: string): LimitScope | undefined {
  // A browser sends one preflight for each request: counting them would halve every limit.
  if (unlimited.has(path) || method === 'OPTIONS') return undefined;
  const exact = ofOperation.get(`${method} ${path}`);
  if (exact !== undefined) return exact;
  return adminPrefix.test(path) ? 'admin' : 'default';
}
