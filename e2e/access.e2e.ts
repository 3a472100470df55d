import { may, type Role, roleNames } from '@gatehouse/kit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { namedObjects, type Operation, operationsOf, pathOf, sampleOf, sampleQuery } from './operations.ts';
import { newPerson, newTenant, type Person, type Platform, startPlatform } from './platform.ts';
import { type Holder, newHolder, type TenantObjects, tenantObjects } from './tenant-objects.ts';

// Attack family 3: every route × nobody, each role, another user, another tenant; from the route table.
let platform: Platform;
let operations: Operation[];
let person: Person;
/** One of each role, in a tenant of their own. */
let holders: Holder[];
/** What another tenant has. */
let theirs: TenantObjects;

beforeAll(async () => {
  platform = await startPlatform();
  operations = await operationsOf(platform.api);
  person = await newPerson(platform.api);
  theirs = await tenantObjects(platform, 'theirs');
  const tenantId = await newTenant(platform, 'own');
  holders = [];
  for (const role of roleNames) holders.push(await newHolder(platform, role, tenantId));
});
afterAll(() => platform?.close());

interface Request {
  readonly values?: Readonly<Record<string, string>>;
  readonly query?: string;
  readonly body?: unknown;
}

const send = (operation: Operation, token: string | undefined, request: Request = {}) =>
  platform.api.request(
    operation.method,
    pathOf(operation, request.values) + (request.query ?? sampleQuery(operation)),
    request.body ?? (operation.body && sampleOf(operation.body)),
    { token },
  );

const where = ({ method, path }: Operation) => `${method} ${path}`;
const guarded = () => operations.filter(({ access }) => access !== 'public');
const administered = () => operations.filter(({ roles }) => roles.length > 0);
const holderOf = (role: string): Holder => {
  const found = holders.find((one) => one.role === role);
  if (found === undefined) throw new Error(`nobody holds ${role}`);
  return found;
};
/** Roles that reach their own tenant only. */
const confined = (operation: Operation) =>
  operation.roles.filter((role) => !may({ roles: [role as Role] }, 'tenants.all'));

describe('family 3: access', () => {
  it('without a token every guarded route is 401', async () => {
    expect(guarded().length).toBeGreaterThan(12);
    for (const operation of guarded()) {
      const answer = await send(operation, undefined);
      expect({ where: where(operation), status: answer.status }).toEqual({
        where: where(operation),
        status: 401,
      });
      expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer/);
    }
  });

  it('with what is no access token every guarded route is 401', async () => {
    const [header, payload] = person.access_token.split('.');
    const none = Buffer.from('{"alg":"none","typ":"at+jwt"}').toString('base64url');
    for (const operation of guarded()) {
      for (const token of ['x', person.refresh_token, `${header}.${payload}.AAAA`, `${none}.${payload}.`]) {
        const answer = await send(operation, token);
        expect({ where: where(operation), status: answer.status }).toEqual({
          where: where(operation),
          status: 401,
        });
      }
    }
  });

  for (const role of roleNames)
    it(`${role} is refused with 403 where the role lacks the permission, and only there`, async () => {
      const { access_token } = holderOf(role);
      expect(administered().length).toBeGreaterThan(50);
      for (const operation of administered()) {
        // Half a document: whoever is let in gets 400 for it, so that nothing is done.
        const body = operation.body && '{';
        const { status, text } = await send(operation, access_token, { body });
        if (operation.roles.includes(role)) {
          expect([401, 403], `${where(operation)}: ${text}`).not.toContain(status);
          expect(status, `${where(operation)}: ${text}`).toBeLessThan(500);
        } else
          expect({ where: where(operation), status }, text).toEqual({ where: where(operation), status: 403 });
      }
    });

  it('an AUDITOR changes nothing: whatever is not a GET is 403, whichever permission it asks for', async () => {
    const { access_token } = holderOf('AUDITOR');
    const changes = administered().filter(({ method }) => method !== 'GET');
    expect(changes.length).toBeGreaterThan(30);
    for (const operation of changes) {
      const answer = await send(operation, access_token);
      expect({ where: where(operation), status: answer.status }).toEqual({
        where: where(operation),
        status: 403,
      });
    }
  });

  it('no role of another tenant finds an object named in the path: 404', async () => {
    let asked = 0;
    for (const operation of operations.filter(({ pathParameters }) => pathParameters.length > 0))
      for (const role of operation.access === 'user' ? roleNames : confined(operation)) {
        const { access_token } = holderOf(role);
        const answer = await send(operation, access_token, { values: valuesOf(operation) });
        const about = { where: where(operation), role };
        expect({ ...about, status: answer.status }, answer.text).toEqual({ ...about, status: 404 });
        asked += 1;
      }
    expect(asked).toBeGreaterThan(40);
  });

  it('no role of another tenant finds an object named in the query or the body: it is as if it were not there', async () => {
    const seen: string[] = [];
    for (const operation of operations) {
      for (const named of namedObjects(operation).filter(({ place }) => place !== 'path')) {
        for (const role of confined(operation)) {
          const { access_token } = holderOf(role);
          const ofTheirs = await send(
            operation,
            access_token,
            naming(operation, named, theirs.idOf(operation, named)),
          );
          const ofNobody = await send(operation, access_token, naming(operation, named, nobody));
          const about = `${where(operation)} ${named.name} as ${role}: ${ofTheirs.text.slice(0, 300)}`;
          expect(shapeOf(ofTheirs), about).toEqual(shapeOf(ofNobody));
          if (ofTheirs.status === 200 && operation.method === 'GET')
            expect(ofTheirs.body.items, about).toEqual([]);
          else expect(ofTheirs.status, about).toBe(404);
          seen.push(`${operation.path} ${named.name}`);
        }
      }
    }
    expect(seen).toEqual(
      expect.arrayContaining(['/api/admin/sessions/revoke-all user_id', '/api/nats/roles account_id']),
    );
  });

  it("lists never show another tenant's rows", async () => {
    const lists = operations.filter(
      ({ method, query, pathParameters }) =>
        method === 'GET' && query.includes('limit') && pathParameters.length === 0,
    );
    expect(lists.length).toBeGreaterThan(5);
    for (const operation of lists)
      for (const role of confined(operation)) {
        const answer = await send(operation, holderOf(role).access_token, { query: '?limit=200' });
        expect(answer.status, `${where(operation)}: ${answer.text}`).toBe(200);
        for (const id of theirs.ids) expect(answer.text, `${where(operation)} as ${role}`).not.toContain(id);
      }
  });

  it('the same requests find everything in its own tenant, so that the answers above say something', async () => {
    const objects = await tenantObjects(platform, 'found');
    const own = operations.filter(
      (operation) => operation.roles.includes('ADMIN') && operation.pathParameters.length > 0,
    );
    const order = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'];
    const turn = ({ method, path }: Operation) => order.indexOf(method) * 10 - path.split('/').length;
    for (const operation of own.toSorted((a, b) => turn(a) - turn(b))) {
      const values = valuesOf(operation, objects);
      if (Object.values(values).includes(objects.hiddenOperatorId)) continue;
      const { status, body, text } = await send(operation, objects.admin.access_token, { values });
      // Rules of the thing itself may refuse; what must not be is that it is not found, or was not understood.
      expect(missed, `${where(operation)}: ${text}`).not.toContain(body?.code);
      expect(status, `${where(operation)}: ${text}`).toBeLessThan(500);
    }
  });

  it('what other tenants tried has changed nothing', async () => {
    const token = await platform.adminToken();
    for (const path of ['/api/nats/accounts', '/api/nats/roles', '/api/nats/users', '/api/admin/users']) {
      const operation = operations.find((one) => one.path === `${path}/{id}` && one.method === 'GET');
      if (operation === undefined) throw new Error(`${path} has no item`);
      const answer = await send(operation, token, { values: valuesOf(operation) });
      expect(answer.status, path).toBe(200);
      expect(answer.body.name ?? answer.body.email).toMatch(/theirs|@/);
    }
    expect((await platform.api.get('/api/auth/me', { token: theirs.person.access_token })).status).toBe(200);
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

/** Codes of a request that did not reach its object. */
const missed = ['unauthenticated', 'forbidden', 'not_found', 'invalid_request', 'invalid_json'];

const nobody = 'ffffffff-ffff-4fff-8fff-ffffffffffff';

const valuesOf = (operation: Operation, objects = theirs): Record<string, string> =>
  Object.fromEntries(operation.pathParameters.map((name) => [name, objects.idOf(operation, { name })]));

function naming(operation: Operation, { place, name }: { place: string; name: string }, id: string): Request {
  const body = operation.body && { ...sampleOf(operation.body), ...(place === 'body' && { [name]: id }) };
  return { body, ...(place === 'query' && { query: `?${name}=${id}` }) };
}

const shapeOf = ({ status, body }: { status: number; body: Record<string, unknown> }) => ({
  status,
  body: { ...body, trace_id: 'same' },
});
