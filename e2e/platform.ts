import { type Installation, type InstallationMode, startInstallation } from '@gatehouse/embedded';
import {
  type Api,
  type ApiAnswer,
  apiOf,
  eventually,
  goodPassword,
  newEmail,
  testDatabase,
} from '@gatehouse/kit/testing';
import { expect } from 'vitest';

/** The mode of this run of the specs: vitest's projects e2e-one, e2e-split and e2e-scaled set it. */
export const mode = (process.env.GATEHOUSE_MODE ?? 'one') as InstallationMode;

/** An installation as a spec uses it. */
export interface Platform extends Installation {
  readonly api: Api;
  /** The first administrator's access token, signed in anew. */
  adminToken(): Promise<string>;
}

/** What a spec may ask of its installation. */
export interface PlatformOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly redis?: boolean;
  /** Its own Postgres with the disk's waits, for specs that stop or kill it. */
  readonly ownPostgres?: boolean;
  /** The services reach Postgres through PgBouncer. With GATEHOUSE_POOLER=true every spec has it so. */
  readonly pooler?: boolean;
  /** nats-server's monitoring pages. */
  readonly natsMonitor?: boolean;
  /** Where everything of it is kept; the system's temporary folder unless given. */
  readonly folder?: string;
}

/** Starts an installation for one spec file, in the mode of the run. */
export async function startPlatform(options: PlatformOptions = {}): Promise<Platform> {
  const database = options.ownPostgres ? undefined : await testDatabase();
  const pooler = options.pooler ?? process.env.GATEHOUSE_POOLER === 'true';
  const installation = await startInstallation({
    mode,
    databaseUrl: database?.url,
    ...(options.redis !== undefined && { redis: options.redis }),
    ...(pooler && { pooler }),
    natsMonitor: options.natsMonitor ?? false,
    folder: options.folder,
    // Everything that may be written, so that the search for secrets at the end sees it.
    env: { LOG_LEVEL: 'debug', ...options.env },
    otherLog: database && process.env.TEST_POSTGRES_LOG,
  });
  const api = apiOf(installation.url);
  return {
    ...installation,
    api,
    adminToken: async () => (await signIn(api, installation.admin)).access_token,
    async close() {
      try {
        await installation.close();
      } finally {
        await database?.drop();
      }
    },
  };
}

/** Where Prometheus reads a service: host and port of each instance that there is of it. */
export const targetsOf = (platform: Platform, service: string): string[] =>
  platform.instances
    .filter((instance) => instance.replace(/-\d+$/, '') === service)
    .map((instance) => new URL(platform.urlOf(instance)).host);

/** Tokens of a sign-in. */
export interface Tokens {
  readonly access_token: string;
  readonly refresh_token: string;
  readonly token_type: string;
  readonly expires_in: number;
  readonly session_id: string;
}

/** Signs in and expects success. */
export async function signIn(
  api: Api,
  credentials: { email: string; password: string; tenant_id?: string },
): Promise<Tokens> {
  const answer = await api.post('/api/auth/login', credentials);
  expect(answer.status, answer.text).toBe(200);
  return answer.body;
}

/** A registered and signed-in person. */
export interface Person extends Tokens {
  readonly email: string;
  readonly password: string;
  readonly user_id: string;
  readonly tenant_id: string;
}

/** Registers somebody new and signs them in. */
export async function newPerson(
  api: Api,
  about: { tenant_id?: string; email?: string } = {},
): Promise<Person> {
  const email = about.email ?? newEmail();
  const { tenant_id } = about;
  const tenant = tenant_id === undefined ? {} : { tenant_id };
  const registered = await api.post('/api/auth/register', { email, password: goodPassword, ...tenant });
  expect(registered.status, registered.text).toBe(201);
  const tokens = await signIn(api, { email, password: goodPassword, ...tenant });
  const { user_id } = registered.body;
  return { ...tokens, email, password: goodPassword, user_id, tenant_id: registered.body.tenant_id };
}

/** Makes a tenant as the platform's administrator. */
export async function newTenant(platform: Platform, name = 'tenant'): Promise<string> {
  const answer = await platform.api.post(
    '/api/admin/tenants',
    { name: `${name}-${Date.now()}`, registration: 'open', reason: 'test' },
    { token: await platform.adminToken() },
  );
  expect(answer.status, answer.text).toBe(201);
  return answer.body.tenant_id;
}

/** The bus may have been killed a moment ago, and three servers elect their leaders anew. */
const EVENT_PATIENCE_MS = 30_000;

/** Waits until an audit event of a type with the given fields can be found, and returns it. */
export async function auditEvent(
  platform: Platform,
  query: Record<string, string>,
  matches: (event: Record<string, unknown> & { data: Record<string, unknown> }) => boolean = () => true,
): Promise<Record<string, unknown> & { data: Record<string, unknown> }> {
  const token = await platform.adminToken();
  return eventually(async () => {
    const answer = await platform.api.get(
      `/api/audit/events?${new URLSearchParams({ limit: '200', ...query })}`,
      { token },
    );
    expect(answer.status, answer.text).toBe(200);
    const found = answer.body.items.find(matches);
    if (found === undefined) throw new Error(`no event for ${JSON.stringify(query)} yet`);
    return found;
  }, EVENT_PATIENCE_MS);
}

/** Expects a problem document (RFC 9457) with this code. */
export function expectProblem(answer: ApiAnswer, status: number, code: string): void {
  expect({ status: answer.status, code: answer.body?.code }, answer.text).toEqual({ status, code });
  expect(answer.headers.get('content-type')).toContain('application/problem+json');
  expect(answer.body.trace_id).toMatch(/^[0-9a-f]{32}$/);
}
