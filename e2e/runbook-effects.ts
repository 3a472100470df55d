import { randomUUID } from 'node:crypto';
import { eventually, type TestDatabase } from '@gatehouse/kit/testing';
import { expect } from 'vitest';
import { auditEvent, type Person, type Platform } from './platform.ts';
import type { Ran } from './terminal.ts';

/** What a command of the page was run in. */
export interface Scene {
  readonly platform: Platform;
  /** As it was run, placeholders filled. */
  readonly command: string;
  readonly out: string;
  /** Whom its placeholders named. */
  readonly person: Person;
  /** What `migrate`, `backup` and `restore` work on. */
  readonly scratch: TestDatabase;
  /** Runs a line of the shell as the page's commands are run. */
  shell(line: string): Promise<Ran>;
}

interface Effect {
  /** Makes it possible to see the effect. */
  readonly before?: (scene: Omit<Scene, 'out'>) => Promise<unknown>;
  readonly after: (scene: Scene) => unknown;
}

const says = (pattern: RegExp): Effect => ({
  after: ({ out }) => expect(pattern.test(out), `${pattern} in: ${out.slice(0, 1500)}`).toBe(true),
});

const option = (command: string, name: string): string =>
  new RegExp(`--${name} (?:"([^"]*)"|(\\S+))`).exec(command)?.slice(1).find(Boolean) ?? '';

async function userOf({ platform, person }: Omit<Scene, 'out'>) {
  const token = await platform.adminToken();
  return (await platform.api.get(`/api/admin/users/${person.user_id}`, { token })).body;
}

const login = ({ platform, person }: Omit<Scene, 'out'>, password = person.password) =>
  platform.api.post('/api/auth/login', { email: person.email, password, tenant_id: person.tenant_id });

const refresh = ({ platform, person }: Omit<Scene, 'out'>) =>
  platform.api.post('/api/auth/refresh', { refresh_token: person.refresh_token });

async function lockOut(scene: Omit<Scene, 'out'>): Promise<void> {
  for (let attempt = 0; attempt < 6; attempt += 1) await login(scene, 'WrongPassword123');
  expect((await login(scene)).status).toBe(423);
}

async function administratively(scene: Omit<Scene, 'out'>, verb: string, more = {}): Promise<void> {
  const token = await scene.platform.adminToken();
  const path = `/api/admin/users/${scene.person.user_id}/${verb}`;
  const answer = await scene.platform.api.post(path, { reason: 'test', ...more }, { token });
  expect(answer.status, answer.text).toBe(200);
}

const signsIn: Effect['after'] = async (scene) => expect((await login(scene)).status).toBe(200);
const isLocked: Effect['after'] = async (scene) => {
  expect((await userOf(scene)).status).toBe('locked');
  expect((await login(scene)).status).toBe(401);
  expect((await refresh(scene)).status).toBe(401);
};
const sessionsEnded: Effect['after'] = async (scene) => expect((await refresh(scene)).status).toBe(401);

async function ring(scene: Omit<Scene, 'out'>) {
  const ran = await scene.shell('gatehouse --json keys encryption status');
  return JSON.parse(ran.out).keys as { id: string; state: string; records: number }[];
}

const migrations = async (scene: Omit<Scene, 'out'>, state: string): Promise<number> => {
  const { out } = await scene.shell('gatehouse --json migrate status');
  return (JSON.parse(out) as { state: string }[]).filter((one) => one.state === state).length;
};
const allApplied: Effect['after'] = async (scene) => expect(await migrations(scene, 'pending')).toBe(0);
const oneDown: Effect['before'] = async ({ shell }) =>
  expect((await shell('gatehouse migrate down --yes')).code).toBe(0);

const tenantsNamed = async ({ scratch }: Omit<Scene, 'out'>, name: string): Promise<number> =>
  (await scratch.query('select from auth.tenant where name = $1', [name])).length;
const restored: Effect = {
  before: ({ scratch }) =>
    scratch.query(`insert into auth.tenant (id, name) values ($1, 'later than the backup')`, [randomUUID()]),
  after: async (scene) => {
    expect(await tenantsNamed(scene, 'later than the backup')).toBe(0);
    await allApplied(scene);
  },
};

/** A sign-in that fails, until the audit shows it. */
async function failedSignIn(scene: Omit<Scene, 'out'>): Promise<void> {
  await login(scene, 'WrongPassword123');
  await auditEvent(scene.platform, { type: 'auth.login.failure', user_id: scene.person.user_id });
}
const lists = (pattern: RegExp): Effect => ({ before: failedSignIn, after: says(pattern).after });

/**
 * What each command must bring about, by how it begins; the longest that fits counts. A command of the page that is not
 * here fails its test: exit code 0 alone says little.
 */
export const effects: Readonly<Record<string, Effect>> = {
  'openssl rand -base64 32': says(/^[A-Za-z0-9+/]{43}=\n$/),
  'node services/all-in-one/src/main.ts --check-config': says(/./),
  'gatehouse keys encryption status': says(/k1[\s\S]*k2/),
  'gatehouse keys encryption rotate': {
    after: async (scene) =>
      expect(await ring(scene)).toEqual(
        expect.arrayContaining([expect.objectContaining({ id: 'k2', state: 'primary' })]),
      ),
  },
  'gatehouse keys encryption reencrypt': {
    after: (scene) =>
      eventually(async () => {
        const old = (await ring(scene)).find(({ id }) => id === 'k1');
        expect(old).toMatchObject({ state: 'drained', records: 0 });
      }, 60_000),
  },
  'gatehouse keys encryption destroy': {
    after: async (scene) =>
      expect((await ring(scene)).find(({ id }) => id === 'k1')?.state).toBe('destroyed'),
  },
  'gatehouse keys list': says(/current/),
  'gatehouse keys rotate': says(/signs from/),
  'gatehouse keys revoke': {
    after: async ({ platform, command }) => {
      const kid = command.split(' ')[3];
      const { body } = await platform.api.get('/.well-known/jwks.json');
      expect(body.keys.map((one: { kid: string }) => one.kid)).not.toContain(kid);
    },
  },

  'gatehouse migrate up': { before: oneDown, after: allApplied },
  'gatehouse migrate up-by-one': { before: oneDown, after: allApplied },
  'gatehouse migrate down': { after: async (scene) => expect(await migrations(scene, 'pending')).toBe(1) },
  'gatehouse migrate down-to': {
    after: async (scene) => {
      expect(await migrations(scene, 'applied')).toBe(1);
      // What follows works on a whole database.
      expect((await scene.shell('gatehouse migrate up')).code).toBe(0);
    },
  },
  'gatehouse migrate plan': {
    before: oneDown,
    after: async (scene) => {
      expect(scene.out).toMatch(/^\d{4}-\S+/m);
      expect(scene.out).toMatch(/found by running them[\s\S]*(?:create|alter|drop) /);
      // It has shown and not done; what follows works on a whole database.
      expect(await migrations(scene, 'pending')).toBe(1);
      expect((await scene.shell('gatehouse migrate up')).code).toBe(0);
    },
  },
  'gatehouse migrate status': says(/0001-\S+\s+applied/),
  'gatehouse migrate version': says(/^\d{4}-/),

  'gatehouse backup keygen': {
    after: async ({ shell }) =>
      expect((await shell('stat -c %a backup-key.txt && cat recipients.txt')).out).toMatch(
        /^600\nage1\w+\n$/,
      ),
  },
  'gatehouse backup create': says(/tables, \d+ rows/),
  'gatehouse backup verify': says(/is whole/),
  'gatehouse restore': restored,
  'gatehouse doctor': says(/database/i),
  'gatehouse settings': says(/./),
  'gatehouse settings --service auth': says(/AUTH_LOGIN_MAX_ATTEMPTS\s+5/),
  'gatehouse settings --service nats-identity': {
    after: ({ out, platform }) => {
      expect(out).toMatch(/ENCRYPTION_CURRENT_KEY_ID\s+k1/);
      expect(out).not.toContain(platform.env.ENCRYPTION_KEYS);
    },
  },

  'gatehouse cluster get': says(/public_key|servers/),
  'gatehouse cluster health': says(/healthy/),
  'gatehouse cluster sync': says(/in sync/),
  'gatehouse cluster accounts': says(/proven|SYS/),
  'gatehouse cluster diff': says(/./),
  'gatehouse account create': says(/orders/),
  'gatehouse user create': says(/shop/),
  'gatehouse user creds': {
    after: async ({ shell }) =>
      expect((await shell('stat -c %a shop.creds && grep -c "BEGIN NATS USER JWT" shop.creds')).out).toBe(
        '600\n1\n',
      ),
  },

  'gatehouse admin user list': {
    before: (scene) => administratively(scene, 'role', { role: option(scene.command, 'role') }),
    after: ({ out, person }) => expect(out).toContain(person.email),
  },
  'gatehouse admin user set-role': {
    after: async (scene) => {
      const role = option(scene.command, 'role');
      expect((await userOf(scene)).role).toBe(role);
      const shown = await scene.shell(`gatehouse admin user show --id ${scene.person.user_id}`);
      expect(shown.out).toContain(role);
    },
  },
  'gatehouse admin user lock': { after: isLocked },
  'gatehouse admin user unlock': { before: lockOut, after: signsIn },
  'gatehouse admin user activate': { before: (scene) => administratively(scene, 'disable'), after: signsIn },
  'gatehouse admin user revoke-sessions': { after: sessionsEnded },
  'gatehouse admin sessions revoke-all': {
    after: async (scene) => {
      if (!scene.command.includes('--dry-run')) return expect((await refresh(scene)).status).toBe(401);
      expect(scene.out).toMatch(/^\d+ would end/);
      expect((await refresh(scene)).status).toBe(200);
    },
  },

  'gatehouse admin user reset-lockout': { before: lockOut, after: signsIn },
  'gatehouse admin user login-events': {
    before: failedSignIn,
    after: ({ out, person }) => expect(out).toContain(person.email),
  },
  'gatehouse admin user login-events --by-reason': lists(/wrong_password\s+\d+/),
  'gatehouse admin sessions clear-expired': says(/\d+/),
  'gatehouse admin break-glass': {
    after: async (scene) => expect((await userOf(scene)).role).toBe('PLATFORM_ADMIN'),
  },
  'gatehouse rate-limit reset': {
    after: ({ platform, command }) =>
      auditEvent(
        platform,
        { type: 'admin.rate_limit.reset' },
        ({ data }) => data.reason === option(command, 'reason'),
      ),
  },
  'gatehouse audit search': lists(/auth\.login\.failure|TYPE/),
  'gatehouse audit search --type auth.login.failure': lists(/auth\.login\.failure/),
  'gatehouse audit search --trace': says(/auth\.login\.failure/),
  'gatehouse audit export': {
    after: async ({ platform, command, shell, out }) => {
      const file = option(command, 'output');
      if (file === '') expect(out.slice(0, 40)).toMatch(/^chain,sequence,id,/);
      else JSON.parse((await shell(`cat ${file}`)).out);
      await auditEvent(platform, { type: 'audit.exported' });
    },
  },
  'gatehouse audit verify': says(/./),

  'curl -fsS -X POST http://localhost:8080/api/admin/users/<user-id>/lock': { after: isLocked },
  'curl -fsS http://localhost:8080/api/auth/register': says(/"user_id"/),
  'curl -fsS http://localhost:8080/api/auth/login': says(/"access_token"/),
  'curl -fsS http://localhost:8080/api/auth/refresh': {
    after: async (scene) => {
      expect(scene.out).toMatch(/"refresh_token"/);
      expect(scene.out).not.toContain(scene.person.refresh_token);
    },
  },
  'curl -fsS -H "authorization: Bearer $ADMIN_TOKEN"': says(/"items":\[/),
  'curl -fsS http://localhost:8080/.well-known/jwks.json': says(/"kid"/),
  'curl -s http://localhost:8222/': says(/"server_id"/),
  'curl -s http://localhost:8080/health': says(/"status": ?"(?:healthy|degraded)"/),
  'curl -s http://localhost:8080/metrics': says(/^(?:# HELP )?\w+/),
  'curl -fsS http://localhost:8080/metrics': says(/^auth_http_requests_total/m),
  'curl -fsS -H "x-metrics-secret: $METRICS_GUARD_SECRET"': says(/^auth_http_requests_total/m),
  'curl -s -o /dev/null -w "%{http_code}"': says(/^200$/),
  'curl -fsS -o /dev/null': says(/^$/),
  'curl -fsS http://localhost:8080/': says(/./),
  'curl -f http://localhost:8080/ready': says(/./),
  'curl -s http://localhost:8080/healthz': says(/ok/),
  'curl -v http://localhost:8080/health/live': says(/./),
};

/** Settings before a command are no part of what it is. */
const bare = (command: string): string => command.replace(/^(?:[A-Z][A-Z0-9_]*=\S+ )+/, '');

/** The effect of a command of the page, as it is written there. */
export function effectOf(command: string): Effect | undefined {
  const begins = Object.keys(effects).filter((begin) => bare(command).startsWith(begin));
  const longest = begins.toSorted((a, b) => b.length - a.length)[0];
  return longest === undefined ? undefined : effects[longest];
}
