import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Operation, operationsOf, pathOf, sampleOf } from './operations.ts';
import { newPerson, newTenant, type Person, type Platform, signIn, startPlatform } from './platform.ts';

// Attack family 3: every route × nobody, a lower role, another user, another tenant; from the route table.
let platform: Platform;
let operations: Operation[];
let person: Person;
let foreignAdmin: string;
/** Ids of NATS objects of the person's tenant, by the route that names them. */
let nats: Record<string, string>;

beforeAll(async () => {
  platform = await startPlatform();
  operations = await operationsOf(platform.api);
  person = await newPerson(platform.api);
  nats = await natsObjectsOf(person.tenant_id);
  foreignAdmin = await adminOf(await newTenant(platform, 'foreign'));
});
afterAll(() => platform?.close());

async function adminOf(tenant_id: string): Promise<string> {
  const made = await newPerson(platform.api, { tenant_id });
  const token = await platform.adminToken();
  const answer = await platform.api.post(
    `/api/admin/users/${made.user_id}/role`,
    { role: 'ADMIN', reason: 'test' },
    { token },
  );
  expect(answer.status, answer.text).toBeLessThan(300);
  const { email, password } = made;
  return (await signIn(platform.api, { email, password, tenant_id })).access_token;
}

async function natsObjectsOf(tenant_id: string): Promise<Record<string, string>> {
  const token = await platform.adminToken();
  const make = async (kind: string, about: object): Promise<string> => {
    const answer = await platform.api.post(`/api/nats/${kind}`, about, { token });
    expect(answer.status, answer.text).toBe(201);
    return answer.body.id;
  };
  const account_id = await make('accounts', { tenant_id, name: 'theirs' });
  return {
    '/api/nats/accounts': account_id,
    '/api/nats/roles': await make('roles', { account_id, name: 'theirs' }),
    '/api/nats/users': await make('users', { account_id, name: 'theirs' }),
  };
}

const send = (
  operation: Operation,
  token: string | undefined,
  values: Record<string, string> = {},
  query = '',
) =>
  platform.api.request(
    operation.method,
    pathOf(operation, values) + query,
    operation.body === undefined ? undefined : sampleOf(operation.body),
    { token },
  );

const guarded = () => operations.filter(({ access }) => access !== 'public');

describe('family 3: access', () => {
  it('without a token every guarded route is 401', async () => {
    expect(guarded().length).toBeGreaterThan(12);
    for (const operation of guarded()) {
      const answer = await send(operation, undefined);
      expect({ path: operation.path, status: answer.status }).toEqual({ path: operation.path, status: 401 });
      expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer/);
    }
  });

  it('with what is no access token every guarded route is 401', async () => {
    const [header, payload] = person.access_token.split('.');
    const none = Buffer.from('{"alg":"none","typ":"at+jwt"}').toString('base64url');
    for (const operation of guarded()) {
      for (const token of ['x', person.refresh_token, `${header}.${payload}.AAAA`, `${none}.${payload}.`]) {
        const answer = await send(operation, token);
        expect({ path: operation.path, status: answer.status }).toEqual({
          path: operation.path,
          status: 401,
        });
      }
    }
  });

  it('a user is refused by every route of administrators, and an ADMIN by every route of the platform', async () => {
    for (const operation of operations.filter(({ roles }) => roles.length > 0)) {
      const answer = await send(operation, person.access_token);
      expect({ path: operation.path, status: answer.status }).toEqual({ path: operation.path, status: 403 });
    }
    for (const operation of operations.filter(({ roles }) => roles.length > 0 && !roles.includes('ADMIN'))) {
      const answer = await send(operation, foreignAdmin);
      expect({ path: operation.path, status: answer.status }).toEqual({ path: operation.path, status: 403 });
    }
  });

  it("another tenant's ADMIN gets 404 for every route that names a user, a session, a tenant or an event", async () => {
    const targets: Record<string, string> = {
      '/api/admin/users': person.user_id,
      '/api/auth/sessions': person.session_id,
      ...nats,
    };
    const named = operations.filter(
      ({ pathParameters, access, roles }) =>
        pathParameters.length > 0 && access !== 'public' && (access === 'user' || roles.includes('ADMIN')),
    );
    expect(named.length).toBeGreaterThan(3);
    for (const operation of named) {
      const id = Object.entries(targets).find(([prefix]) => operation.path.startsWith(prefix))?.[1];
      const values = id === undefined ? {} : { id, user_id: id, session_id: id };
      const answer = await send(operation, foreignAdmin, values);
      expect({ path: operation.path, status: answer.status }, answer.text).toEqual({
        path: operation.path,
        status: 404,
      });
    }
    expect((await platform.api.get('/api/auth/me', { token: person.access_token })).status).toBe(200);
    const token = await platform.adminToken();
    for (const [path, id] of Object.entries(nats))
      expect((await platform.api.get(`${path}/${id}`, { token })).body).toMatchObject({ name: 'theirs' });
  });

  it("lists never show another tenant's rows, asked for or not", async () => {
    for (const operation of operations.filter(
      ({ method, roles, query, pathParameters }) =>
        method === 'GET' && roles.includes('ADMIN') && query.includes('limit') && pathParameters.length === 0,
    )) {
      const own = await send(operation, foreignAdmin, {}, '?limit=200');
      expect(own.status, own.text).toBe(200);
      for (const id of [person.user_id, ...Object.values(nats)])
        expect(JSON.stringify(own.body)).not.toContain(id);
      if (!operation.query.includes('tenant_id')) continue;
      const foreign = await send(operation, foreignAdmin, {}, `?tenant_id=${person.tenant_id}`);
      expect({ path: operation.path, status: foreign.status }).toEqual({ path: operation.path, status: 404 });
    }
  });

  it("another user's session cannot be ended, and is not shown", async () => {
    const other = await newPerson(platform.api);
    const answer = await platform.api.request(
      'DELETE',
      `/api/auth/sessions/${person.session_id}`,
      undefined,
      { token: other.access_token },
    );
    expect(answer.status).toBe(404);
    const { body } = await platform.api.get('/api/auth/sessions', { token: other.access_token });
    expect(body.items.map((item: { session_id: string }) => item.session_id)).toEqual([other.session_id]);
  });
});
