import { eventually } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Operation, operationsOf, pathOf, sampleOf, sampleQuery } from './operations.ts';
import { newPerson, newTenant, type Platform, signIn, startPlatform } from './platform.ts';
import { type Holder, newHolder } from './tenant-objects.ts';

// Attack family 1 for administrators: every route that a role opens × every way to lose it.
let platform: Platform;
let root: string;
let operations: Operation[];

beforeAll(async () => {
  platform = await startPlatform();
  root = await platform.adminToken();
  operations = (await operationsOf(platform.api)).filter(({ roles }) => roles.includes('ADMIN'));
});
afterAll(() => platform?.close());

const send = (method: string, path: string, token: string, body?: object) =>
  platform.api.request(method, path, body, { token });
const change = (holder: Holder, verb: string, body = {}) =>
  send('POST', `/api/admin/users/${holder.user_id}/${verb}`, root, { reason: 'test', ...body });

/** Half a document goes in, so that nothing is done. */
const half = (operation: Operation, token: string) =>
  platform.api.request(operation.method, pathOf(operation), operation.body && '{', { token });

/** Answers of every route that ADMIN opens. */
async function doors(token: string): Promise<Set<number>> {
  const answers = await Promise.all(operations.map((operation) => half(operation, token)));
  return new Set(answers.map(({ status }) => status));
}

interface OffSwitch {
  readonly name: string;
  readonly off: (holder: Holder) => Promise<{ status: number; text: string }>;
  /** Of every route afterwards. */
  readonly closed: 401 | 403;
}

const switches: readonly OffSwitch[] = [
  { name: 'the role is taken away', closed: 403, off: (holder) => change(holder, 'role', { role: 'USER' }) },
  { name: 'the account is locked', closed: 401, off: (holder) => change(holder, 'lock') },
  {
    name: 'the account is deleted',
    closed: 401,
    off: ({ user_id }) => send('DELETE', `/api/admin/users/${user_id}?reason=test`, root),
  },
  {
    name: 'the deletion of the tenant is asked for',
    closed: 401,
    off: ({ tenant_id }) => send('DELETE', `/api/admin/tenants/${tenant_id}?reason=test`, root),
  },
  { name: 'the account is disabled', closed: 401, off: (holder) => change(holder, 'disable') },
  {
    name: 'the tenant is disabled',
    closed: 401,
    off: ({ tenant_id }) =>
      send('PATCH', `/api/admin/tenants/${tenant_id}`, root, { status: 'disabled', reason: 'test' }),
  },
  { name: 'the sessions are revoked', closed: 401, off: (holder) => change(holder, 'revoke-sessions') },
  {
    name: 'the sessions of the tenant are revoked',
    closed: 401,
    off: ({ tenant_id }) =>
      send('POST', '/api/admin/sessions/revoke-all', root, { tenant_id, reason: 'test' }),
  },
  {
    name: 'it signs out',
    closed: 401,
    off: ({ access_token }) => send('POST', '/api/auth/logout', access_token),
  },
];

describe('family 1: an administrator who is switched off', () => {
  for (const { name, off, closed } of switches)
    it(`finds every route of administrators closed after ${name}`, async () => {
      const holder = await newHolder(platform, 'ADMIN', await newTenant(platform));
      expect(operations.length).toBeGreaterThan(35);
      const before = await doors(holder.access_token);
      for (const status of [401, 403]) expect(before, String([...before])).not.toContain(status);
      const answer = await off(holder);
      expect(answer.status, answer.text).toBeLessThan(300);
      await eventually(async () => expect(await doors(holder.access_token)).toEqual(new Set([closed])));
      const renewed = await platform.api.post('/api/auth/refresh', { refresh_token: holder.refresh_token });
      expect(renewed.status).toBe(closed === 403 ? 200 : 401);
      if (closed === 403) expect(await doors(renewed.body.access_token)).toEqual(new Set([403]));
    });

  it('changes nobody from the moment on, not even with a request that goes out with the answer', async () => {
    const tenant_id = await newTenant(platform);
    const victim = await newPerson(platform.api, { tenant_id });
    const offs = switches.filter(({ name }) => /^the (?:role|account) is/.test(name));
    expect(offs.length).toBeGreaterThan(2);
    for (const { name, off } of offs) {
      const holder = await newHolder(platform, 'ADMIN', tenant_id);
      expect((await off(holder)).status).toBeLessThan(300);
      const attempts = await Promise.all(
        operations
          .filter(({ path, method }) => path.startsWith('/api/admin/users/') && method !== 'GET')
          .map((operation) =>
            platform.api.request(
              operation.method,
              pathOf(operation, { id: victim.user_id }) + sampleQuery(operation),
              operation.body && sampleOf(operation.body),
              { token: holder.access_token },
            ),
          ),
      );
      expect(attempts.length).toBeGreaterThan(5);
      for (const { status, text } of attempts) expect([401, 403], `${name}: ${text}`).toContain(status);
    }
    expect((await send('GET', '/api/auth/me', victim.access_token)).status).toBe(200);
  });

  it('whose role is exchanged has the new one only, both ways, without a new token', async () => {
    const holder = await newHolder(platform, 'ADMIN', await newTenant(platform));
    for (const role of ['AUDITOR', 'SUPPORT', 'ADMIN'] as const) {
      expect((await change(holder, 'role', { role })).status).toBe(200);
      await eventually(async () => {
        for (const operation of operations) {
          const { status } = await half(operation, holder.access_token);
          const about = { where: `${operation.method} ${operation.path}`, role };
          expect({ ...about, refused: status === 403 }).toEqual({
            ...about,
            refused: !operation.roles.includes(role),
          });
        }
      });
    }
  });

  it('gets in again by signing in when it was the session that ended, and only then', async () => {
    const holder = await newHolder(platform, 'ADMIN', await newTenant(platform));
    const credentials = { email: holder.email, password: holder.password, tenant_id: holder.tenant_id };
    await change(holder, 'revoke-sessions');
    const again = await signIn(platform.api, credentials);
    expect([...(await doors(again.access_token))]).not.toContain(403);
    await change(holder, 'disable');
    expect((await platform.api.post('/api/auth/login', credentials)).status).toBe(401);
  });
});
