import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Operation, operationsOf, pathOf, sampleOf } from './operations.ts';
import { newPerson, type Platform, startPlatform } from './platform.ts';
import { type TenantObjects, tenantObjects } from './tenant-objects.ts';

// Attack family 7: every input × what must never reach a handler, and never be a 500.
let platform: Platform;
let operations: Operation[];
let token: string;
/** Real objects, so that what is sent comes further than to a 404. */
let objects: TenantObjects;

// Some of what is tried here ends every session, its own too.
async function send(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
  const used = token;
  const answer = await platform.api.request(method, path, body, { token: used, headers });
  if (answer.status !== 401) return answer;
  if (token === used) await signedInAgain();
  return platform.api.request(method, path, body, { token, headers });
}

let signingIn: Promise<void> | undefined;
// Once for all that found themselves signed out.
function signedInAgain(): Promise<void> {
  signingIn ??= platform.adminToken().then((fresh) => {
    token = fresh;
    signingIn = undefined;
  });
  return signingIn;
}

beforeAll(async () => {
  platform = await startPlatform();
  operations = await operationsOf(platform.api);
  objects = await tenantObjects(platform, 'input');
  token = await platform.adminToken();
});
afterAll(() => platform?.close());

/** The path with real ids where a tenant has such objects. */
function realPath(operation: Operation): string {
  const real = operation.pathParameters.filter((name) => objects.knows(operation, { name }));
  return pathOf(operation, Object.fromEntries(real.map((name) => [name, objects.idOf(operation, { name })])));
}

const deep = `${'['.repeat(20_000)}${']'.repeat(20_000)}`;

/** Whole bodies as they go over the wire. */
const bodies: readonly (readonly [string, (sample: string) => string])[] = [
  ['nothing', () => ''],
  ['half a document', (sample) => sample.slice(0, -2)],
  ['two documents', (sample) => sample + sample],
  ['null', () => 'null'],
  ['a text', () => '"text"'],
  ['a number past every range', () => '1e999'],
  ['an array', (sample) => `[${sample}]`],
  ['deep nesting', () => deep],
  ['deep nesting in a field', () => `{"email":${deep}}`],
  ['__proto__', (sample) => sample.replace('{', '{"__proto__":{"roles":["ADMIN"]},')],
  ['an escaped __proto__', (sample) => sample.replace('{', '{"\\u005f_proto__":{"x":1},')],
  ['constructor', (sample) => sample.replace('{', '{"constructor":{"prototype":{"x":1}},')],
  ['a field nobody knows', (sample) => sample.replace('{', '{"roles":["PLATFORM_ADMIN"],')],
  ['a megabyte', () => JSON.stringify({ email: 'x'.repeat(1024 * 1024) })],
];

/** Values for each text field. */
const values: readonly (readonly [string, unknown])[] = [
  ['NUL', 'a\u0000b'],
  ['a lone surrogate', 'a\ud800b'],
  ['60 kB', 'x'.repeat(60_000)],
  ['empty', ''],
  ['only spaces', '   '],
  ['CR/LF', 'a\r\nSet-Cookie: x=1'],
  ['terminal codes', '\u001b[2J\u001b]0;x\u0007'],
  ['a formula', '=HYPERLINK("http://example.com")'],
  ['SQL', `'; drop table "user_account"; --`],
  ['a number', 1],
  ['a huge number', 1e308],
  ['true', true],
  ['null', null],
  ['an array', ['x']],
  ['an object', { $ne: null }],
];

/** Values for each parameter in a query or path, as they go over the wire. */
const parameters: readonly string[] = [
  '',
  '%00',
  '%ED%A0%80',
  '%',
  '%E0%A4',
  'a%0d%0aX: y',
  '%1b[2J',
  '../../internal',
  '%2e%2e%2f',
  '1e999',
  '-1',
  '0',
  '99999999999999999999',
  'NaN',
  'null',
  '__proto__',
  'x'.repeat(3000),
  // Times, addresses and search texts that Postgres would choke on.
  '9999-12-31T23:59:59Z',
  '9999-12-31T23:59:59-14:00',
  '0000-01-01T00:00:00Z',
  '0001-01-01T00:00:00%2B14:00',
  '9999-12-31',
  '2024-02-31T25:61:61Z',
  '-infinity',
  '999.1.1.1',
  '10.0.0.0%2F99',
  '%3A%3A%2F0',
  '%25%5F%5C',
  '%27%20%26%20%7C%20!%20%3A*%20(',
  '%22unbalanced',
  '%3DHYPERLINK(1)',
  'a.*',
  '.*.',
];

/** Every field of a body, and those of the objects in it, as paths. */
function fieldsOf(schema: NonNullable<Operation['body']>, depth = 0): string[][] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, property]) => [
    [name],
    ...(depth < 2 ? fieldsOf(property, depth + 1).map((below) => [name, ...below]) : []),
  ]);
}

function put(
  into: Record<string, unknown>,
  [name = '', ...below]: readonly string[],
  value: unknown,
): object {
  if (below.length === 0) return { ...into, [name]: value };
  const inner = (into[name] ?? {}) as Record<string, unknown>;
  return { ...into, [name]: put(inner, below, value) };
}

describe('family 7: input', () => {
  it('finds the whole route table, so that this file tests something', () => {
    expect(operations.length).toBeGreaterThan(20);
    expect(operations.filter(({ body }) => body !== undefined).length).toBeGreaterThan(8);
  });

  it('no body of any kind makes any route answer 5xx', async () => {
    for (const operation of operations.filter(({ body }) => body !== undefined)) {
      const sample = JSON.stringify(sampleOf(operation.body ?? {}));
      for (const [what, make] of bodies) {
        const answer = await send(operation.method, pathOf(operation), make(sample));
        const where = `${operation.method} ${operation.path} with ${what}: ${answer.text.slice(0, 300)}`;
        expect(answer.status, where).toBeGreaterThanOrEqual(400);
        expect(answer.status, where).toBeLessThan(500);
        expect(answer.body?.code, where).toBeTypeOf('string');
      }
    }
  });

  it('no value of any field, at any depth, makes any route answer 5xx', async () => {
    for (const operation of operations.filter(({ body }) => body !== undefined)) {
      const sample = sampleOf(operation.body ?? {});
      for (const path of fieldsOf(operation.body ?? {})) {
        for (const [what, value] of values) {
          // A role or password that takes is fine; what matters is that nothing breaks. One after the other: hashes of
          // passwords beside each other are rightly 503.
          const body = JSON.stringify(put(sample, path, value));
          const { status, text } = await send(operation.method, realPath(operation), body);
          const where = `${operation.method} ${operation.path} ${path.join('.')}=${what}: ${text.slice(0, 300)}`;
          expect(status, where).toBeLessThan(500);
        }
      }
    }
  });

  it('of duplicate keys the last counts, in every reader of the same body: no route breaks or is fooled', async () => {
    const person = await newPerson(platform.api);
    const body = `{"role":"AUDITOR","reason":"first","role":"SUPPORT","reason":"test"}`;
    const answer = await send('POST', `/api/admin/users/${person.user_id}/role`, body);
    expect({ status: answer.status, role: answer.body.role }).toEqual({ status: 200, role: 'SUPPORT' });
    for (const operation of operations.filter(({ body: schema }) => schema !== undefined)) {
      const sample = JSON.stringify(sampleOf(operation.body ?? {})).slice(1, -1);
      const twice = await send(operation.method, pathOf(operation), `{${sample}${sample && ','}${sample}}`);
      expect(twice.status, `${operation.method} ${operation.path}: ${twice.text}`).toBeLessThan(500);
    }
  });

  it('bytes that are no UTF-8 make no route answer 5xx', async () => {
    for (const operation of operations.filter(({ body }) => body !== undefined)) {
      const answer = await fetch(platform.url + pathOf(operation), {
        method: operation.method,
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: Buffer.from('7b22656d61696c223a22c328ff80227d', 'hex'),
      });
      expect(answer.status, `${operation.method} ${operation.path}`).toBeGreaterThanOrEqual(400);
      expect(answer.status, `${operation.method} ${operation.path}`).toBeLessThan(500);
    }
  });

  it('no query or path parameter of any method makes any route answer 5xx', async () => {
    const broken: string[] = [];
    for (const operation of operations) {
      const ask = async (path: string) => {
        // An answer that ends in the middle is as bad as a 500.
        const cut = (error: Error) => ({ status: 599, text: error.message });
        const body = operation.body && sampleOf(operation.body);
        const { status, text } = await send(operation.method, path, body).catch(cut);
        if (status >= 500)
          broken.push(`${operation.method} ${path.slice(0, 200)}: ${status} ${text.slice(0, 300)}`);
      };
      // Beside each other: they are many, and none depends on another.
      for (const name of operation.query) {
        const odd = [`${name}=1&${name}=2`, `${name}`, `${name}[]=1`, `${name}[a]=1`, `${name}.a=1`];
        const queries = [...parameters.map((value) => `${name}=${value}`), ...odd];
        await Promise.all(queries.map((query) => ask(`${realPath(operation)}?${query}`)));
      }
      for (const name of operation.pathParameters)
        await Promise.all(parameters.map((value) => ask(pathOf(operation, { [name]: value }))));
    }
    expect(broken).toEqual([]);
  });

  it('a query that nobody knows, or of a megabyte, makes no route answer 5xx', async () => {
    for (const operation of operations)
      for (const query of ['__proto__=1', 'constructor[prototype]=1', '&&&==', `x=${'x'.repeat(14_000)}`]) {
        const answer = await send('GET', `${pathOf(operation)}?${query}`);
        expect(answer.status, `${operation.path}?${query.slice(0, 40)}`).toBeLessThan(500);
      }
    const long = await send('GET', `/api/admin/users?email=${'x'.repeat(1024 * 1024)}`).catch(
      () => undefined,
    );
    expect([400, 414, 431, undefined]).toContain(long?.status);
  });

  it('another content type is 415, everywhere that takes a body', async () => {
    for (const operation of operations.filter(({ body }) => body !== undefined)) {
      for (const type of [
        'text/plain',
        'application/x-www-form-urlencoded',
        'multipart/form-data; boundary=x',
        'application/xml',
      ]) {
        const headers = { 'content-type': type };
        const answer = await send(operation.method, pathOf(operation), 'x=1', headers);
        expect({ where: operation.path, type, status: answer.status }).toEqual({
          where: operation.path,
          type,
          status: 415,
        });
      }
    }
  });

  it('unknown routes are 404 and wrong methods 405 with Allow, as problem documents', async () => {
    for (const path of [
      '/',
      '/nothing',
      '/api',
      '/api/auth',
      '/internal/token/open-session',
      '/INTERNAL/token/open-session',
      '//internal/token/open-session',
      '/%69nternal/token/open-session',
      '/api/../internal/token/open-session',
    ]) {
      const answer = await platform.api.post(path, {});
      expect({ path, status: answer.status, code: answer.body?.code }).toEqual({
        path,
        status: 404,
        code: 'not_found',
      });
    }
    for (const operation of operations) {
      const answer = await platform.api.request('PATCH', pathOf(operation), {}, { token });
      if (operations.some((one) => one.path === operation.path && one.method === 'PATCH')) continue;
      expect({ path: operation.path, status: answer.status }).toEqual({ path: operation.path, status: 405 });
      expect(answer.headers.get('allow')).toContain(operation.method);
    }
  });

  it('a refused sign-in reaches the audit even when its body was no JSON', async () => {
    const agent = { 'user-agent': `malformed-${Date.now()}` };
    await platform.api.post('/api/auth/login', '{"email":"a\\u0000b","password":"x"}', { headers: agent });
    await platform.api.post('/api/auth/login', '{', { headers: agent });
    const { auditEvent } = await import('./platform.ts');
    const event = await auditEvent(
      platform,
      { type: 'auth.login.failure' },
      ({ user_agent }) => user_agent === agent['user-agent'],
    );
    expect(event.data.reason).toBe('malformed');
  });

  it('what a caller sends cannot overwrite a claim (hard case 8)', async () => {
    const person = await newPerson(platform.api);
    const body = { refresh_token: person.refresh_token, roles: ['PLATFORM_ADMIN'], sub: 'x', tenant_id: 'y' };
    expect((await platform.api.post('/api/auth/refresh', body)).status).toBe(400);
    const answer = await platform.api.post('/api/auth/refresh', { refresh_token: person.refresh_token });
    const claims = JSON.parse(Buffer.from(answer.body.access_token.split('.')[1], 'base64url').toString());
    expect(claims).toMatchObject({ sub: person.user_id, roles: ['USER'], tenant_id: person.tenant_id });
  });
});
