import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Operation, operationsOf, pathOf, sampleOf } from './operations.ts';
import { newPerson, type Platform, startPlatform } from './platform.ts';

// Attack family 7: every input × what must never reach a handler, and never be a 500.
let platform: Platform;
let operations: Operation[];
let token: string;

// Some of what is tried here ends every session, its own too.
async function send(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
  const answer = await platform.api.request(method, path, body, { token, headers });
  if (answer.status !== 401) return answer;
  token = await platform.adminToken();
  return platform.api.request(method, path, body, { token, headers });
}

beforeAll(async () => {
  platform = await startPlatform();
  operations = await operationsOf(platform.api);
  token = await platform.adminToken();
});
afterAll(() => platform?.close());

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
  ['UTF-8 that is none', () => '{"email":"\u{fffd}"}'],
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

  it('no value of any field makes any route answer 5xx', async () => {
    for (const operation of operations.filter(({ body }) => body !== undefined)) {
      const properties = Object.keys(operation.body?.properties ?? {});
      for (const name of properties) {
        for (const [what, value] of values) {
          // A role or password that takes is fine; what matters is that nothing breaks.
          const body = JSON.stringify({ ...sampleOf(operation.body ?? {}), [name]: value });
          const answer = await send(operation.method, pathOf(operation), body);
          const where = `${operation.method} ${operation.path} ${name}=${what}: ${answer.text.slice(0, 300)}`;
          expect(answer.status, where).toBeLessThan(500);
        }
      }
    }
  });

  it('no query or path parameter makes any route answer 5xx', async () => {
    const escaped = [
      '%00',
      '%ED%A0%80',
      '%',
      '%E0%A4',
      'a%0d%0aX: y',
      '../../internal',
      '%2e%2e%2f',
      '1e999',
      '-1',
      'x'.repeat(3000),
    ];
    for (const operation of operations.filter(({ method }) => method === 'GET')) {
      for (const value of escaped) {
        const asQuery = operation.query.map((name) => `${pathOf(operation)}?${name}=${value}`);
        const twice = operation.query.map((name) => `${pathOf(operation)}?${name}=1&${name}=2`);
        const asPath = operation.pathParameters.map((name) => pathOf(operation, { [name]: value }));
        for (const path of [...asQuery, ...twice, ...asPath]) {
          const answer = await send('GET', path);
          expect(answer.status, `${path.slice(0, 200)}: ${answer.text.slice(0, 300)}`).toBeLessThan(500);
        }
      }
    }
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
