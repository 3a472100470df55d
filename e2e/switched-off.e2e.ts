import { eventually } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newPerson, newTenant, type Person, type Platform, signIn, startPlatform } from './platform.ts';

// Attack family 1: every way to get or keep a token × every way to be switched off.
let platform: Platform;
let admin: string;

beforeAll(async () => {
  platform = await startPlatform();
  admin = await platform.adminToken();
});
afterAll(() => platform?.close());

interface OffSwitch {
  readonly name: string;
  readonly off: (person: Person) => Promise<{ status: number; text: string }>;
  /** Whether signing in anew is refused too. */
  readonly login: 'refused' | 'works';
}

const as = (token: string) => ({ token });
const change = (person: Person, verb: string, body = {}) =>
  platform.api.post(`/api/admin/users/${person.user_id}/${verb}`, { reason: 'test', ...body }, as(admin));

const switches: readonly OffSwitch[] = [
  {
    name: 'logout',
    login: 'works',
    off: (person) => platform.api.post('/api/auth/logout', undefined, as(person.access_token)),
  },
  {
    name: 'ending the session by its id',
    login: 'works',
    off: (person) =>
      platform.api.request(
        'DELETE',
        `/api/auth/sessions/${person.session_id}`,
        undefined,
        as(person.access_token),
      ),
  },
  {
    name: 'ending the others from another session',
    login: 'works',
    off: async (person) => {
      const other = await signIn(platform.api, credentials(person));
      return platform.api.post('/api/auth/sessions/revoke-others', undefined, as(other.access_token));
    },
  },
  {
    name: 'a password change in another session',
    login: 'refused',
    off: async (person) => {
      const other = await signIn(platform.api, credentials(person));
      const body = { old_password: person.password, new_password: `${person.password}-changed` };
      return platform.api.post('/api/auth/password', body, as(other.access_token));
    },
  },
  {
    name: 'an administrator ending the sessions',
    login: 'works',
    off: (person) => change(person, 'revoke-sessions'),
  },
  { name: 'a lock', login: 'refused', off: (person) => change(person, 'lock') },
  {
    name: 'disabling the tenant',
    login: 'refused',
    off: (person) =>
      platform.api.request(
        'PATCH',
        `/api/admin/tenants/${person.tenant_id}`,
        { status: 'disabled', reason: 'test' },
        as(admin),
      ),
  },
  {
    name: 'ending every session of the tenant',
    login: 'works',
    off: (person) =>
      platform.api.post(
        '/api/admin/sessions/revoke-all',
        { tenant_id: person.tenant_id, reason: 'test' },
        as(admin),
      ),
  },
];

const credentials = ({ email, password, tenant_id }: Person) => ({ email, password, tenant_id });

// A guarded route of each service, asked at the service itself where it is a process of its own.
const guarded = [
  ['auth', '/api/auth/me', 200],
  ['token', '/api/auth/sessions', 200],
  ['audit', '/api/audit/events', 403],
] as const;

async function everywhere(token: string): Promise<number[]> {
  return Promise.all(
    guarded.map(async ([service, path]) => {
      const answer = await fetch(`${platform.urlOf(service)}${path}`, {
        headers: { authorization: `Bearer ${token}` },
      });
      return answer.status;
    }),
  );
}

describe('family 1: what is switched off stays off', () => {
  for (const { name, off, login } of switches) {
    it(`after ${name}, refresh is 401 at once and the access token dies within a second in every service`, async () => {
      const person = await newPerson(platform.api, { tenant_id: await newTenant(platform) });
      expect(await everywhere(person.access_token)).toEqual(guarded.map(([, , status]) => status));
      const answer = await off(person);
      expect(answer.status, answer.text).toBeLessThan(300);
      const begun = performance.now();

      const refreshed = await platform.api.post('/api/auth/refresh', { refresh_token: person.refresh_token });
      expect({ status: refreshed.status, code: refreshed.body?.code }).toEqual({
        status: 401,
        code: 'session_revoked',
      });
      await eventually(
        async () => expect(await everywhere(person.access_token)).toEqual([401, 401, 401]),
        1000 - (performance.now() - begun),
      );

      const again = await platform.api.post('/api/auth/login', credentials(person));
      expect(again.status).toBe(login === 'works' ? 200 : 401);
      if (again.status === 200)
        expect(await everywhere(again.body.access_token)).toEqual(guarded.map(([, , status]) => status));
    });
  }

  it('a changed role acts on the next request, both ways, without a new token', async () => {
    const person = await newPerson(platform.api, { tenant_id: await newTenant(platform) });
    const ping = async () =>
      (await platform.api.get('/protected/admin/ping', as(person.access_token))).status;
    expect(await ping()).toBe(403);
    expect((await change(person, 'role', { role: 'ADMIN' })).status).toBeLessThan(300);
    await eventually(async () => expect(await ping()).toBe(200), 1000);
    expect((await change(person, 'role', { role: 'USER' })).status).toBeLessThan(300);
    await eventually(async () => expect(await ping()).toBe(403), 1000);
    const answer = await platform.api.post('/api/auth/refresh', { refresh_token: person.refresh_token });
    expect(answer.status).toBe(200);
    const claims = JSON.parse(Buffer.from(answer.body.access_token.split('.')[1], 'base64url').toString());
    expect(claims.roles).toEqual(['USER']);
  });

  it('an unlocked user signs in again, but the sessions that the lock ended stay dead', async () => {
    const person = await newPerson(platform.api);
    await change(person, 'lock');
    await change(person, 'unlock');
    expect(
      (await platform.api.post('/api/auth/refresh', { refresh_token: person.refresh_token })).status,
    ).toBe(401);
    expect((await platform.api.post('/api/auth/login', credentials(person))).status).toBe(200);
  });

  it('a new sign-in right after everything was revoked lives', async () => {
    const person = await newPerson(platform.api);
    await change(person, 'revoke-sessions');
    const again = await signIn(platform.api, credentials(person));
    expect(await everywhere(again.access_token)).toEqual(guarded.map(([, , status]) => status));
    expect(
      (await platform.api.post('/api/auth/refresh', { refresh_token: again.refresh_token })).status,
    ).toBe(200);
  });

  it('a revoked signing key kills its tokens, and sign-in goes on with the next', async () => {
    const person = await newPerson(platform.api);
    const { kid } = JSON.parse(Buffer.from(person.access_token.split('.')[0] ?? '', 'base64url').toString());
    const answer = await platform.api.post(`/api/admin/keys/${kid}/revoke`, { reason: 'leaked' }, as(admin));
    expect(answer.status, answer.text).toBeLessThan(300);
    // Another instance hears of it in a moment.
    await eventually(async () => {
      const { body: jwks } = await platform.api.get('/.well-known/jwks.json');
      expect(jwks.keys.map((key: { kid: string }) => key.kid)).not.toContain(kid);
    });
    await eventually(
      async () => expect(await everywhere(person.access_token)).toEqual([401, 401, 401]),
      15_000,
    );
    const again = await signIn(platform.api, credentials(person));
    await eventually(async () => expect((await everywhere(again.access_token))[0]).toBe(200), 15_000);
    admin = await platform.adminToken();
  });

  it('ending every session ends the administrator’s own too', async () => {
    const person = await newPerson(platform.api);
    const answer = await platform.api.post('/api/admin/sessions/revoke-all', { reason: 'test' }, as(admin));
    expect(answer.status, answer.text).toBe(200);
    await eventually(async () => expect(await everywhere(admin)).toEqual([401, 401, 401]), 1000);
    expect(
      (await platform.api.post('/api/auth/refresh', { refresh_token: person.refresh_token })).status,
    ).toBe(401);
    admin = await platform.adminToken();
  });
});
