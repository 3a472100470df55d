import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { clientIpHeader, credentialHeader, run } from '@gatehouse/kit';
import { startPlatform, type TestPlatform, testEnv } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { gateway } from './service.ts';

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}
type Answer = (request: IncomingMessage, reply: ServerResponse) => void;

/** Another process as the gateway sees it: notes what comes, answers as the test says. */
class Upstream {
  readonly seen: Seen[] = [];
  answer: Answer = (_request, reply) => reply.end('{}');
  #server: Server | undefined;

  async listen(): Promise<string> {
    this.#server = createServer((incoming, reply) => {
      const chunks: Buffer[] = [];
      incoming.on('data', (chunk) => chunks.push(chunk));
      incoming.on('end', () => {
        const { method = '', url = '', headers } = incoming;
        this.seen.push({ method, url, headers, body: Buffer.concat(chunks).toString() });
        this.answer(incoming, reply);
      });
    });
    await new Promise<void>((resolve) => this.#server?.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }
  close(): void {
    this.#server?.closeAllConnections();
    this.#server?.close();
  }
}

describe('what the gateway passes on', () => {
  const upstreams = { auth: new Upstream(), token: new Upstream(), audit: new Upstream() };
  const everybody = Object.values(upstreams);
  let platform: TestPlatform;
  beforeAll(async () => {
    const [auth, token, audit] = await Promise.all(everybody.map((one) => one.listen()));
    platform = await startPlatform([gateway], {
      ...{ AUTH_URL: auth ?? '', TOKEN_URL: token ?? '', AUDIT_URL: audit ?? '' },
      NATS_IDENTITY_URL: audit ?? '',
      UPSTREAM_TIMEOUT_SECONDS: '1',
    });
  });
  beforeEach(() => {
    for (const one of everybody) {
      one.seen.length = 0;
      one.answer = (_request, reply) =>
        reply.setHeader('content-type', 'application/json').end('{"ok":true}');
    }
  });
  afterAll(async () => {
    await platform?.close();
    for (const one of everybody) one.close();
  });

  /** Sends a request as it is written: fetch would tidy it up. */
  const send = (
    path: string,
    options: { method?: string; headers?: Record<string, string>; body?: string } = {},
  ) =>
    new Promise<{ status: number; headers: IncomingMessage['headers']; text: string }>((resolve, reject) => {
      const { hostname, port } = new URL(platform.url);
      const { method = 'GET', headers = {}, body } = options;
      const sent = request({ hostname, port, path, method, headers }, (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk) => chunks.push(chunk));
        answer.on('end', () =>
          resolve({
            status: answer.statusCode ?? 0,
            headers: answer.headers,
            text: Buffer.concat(chunks).toString(),
          }),
        );
      });
      sent.on('error', reject).end(body);
    });

  it('each path goes to its service, query and all', async () => {
    const table = [
      ['GET', '/.well-known/jwks.json', 'token'],
      ['POST', '/api/auth/refresh', 'token'],
      ['POST', '/api/auth/logout', 'token'],
      ['GET', '/api/auth/sessions?limit=1', 'token'],
      ['DELETE', '/api/auth/sessions/0198c5f0-0000-7000-8000-000000000000', 'token'],
      ['POST', '/api/auth/sessions/revoke-others', 'token'],
      ['POST', '/api/auth/login', 'auth'],
      ['GET', '/api/auth/me', 'auth'],
      ['GET', '/protected/admin/ping', 'auth'],
      ['POST', '/api/admin/users/1/lock', 'auth'],
      ['POST', '/api/admin/tenants', 'auth'],
      ['POST', '/api/admin/sessions/revoke-all', 'token'],
      ['POST', '/api/admin/keys/rotate', 'token'],
      ['GET', '/api/audit/events?type=auth.*&limit=2', 'audit'],
    ] as const;
    for (const [method, path, service] of table) {
      for (const one of everybody) one.seen.length = 0;
      expect((await send(path, { method })).status, path).toBe(200);
      expect(upstreams[service].seen.map(({ method, url }) => [method, url])).toEqual([[method, path]]);
      expect(everybody.flatMap(({ seen }) => seen)).toHaveLength(1);
    }
  });

  it('nothing internal passes, in no spelling', async () => {
    const paths = [
      '/internal/token/open-session',
      '/internal/auth/health',
      '/INTERNAL/token/open-session',
      '//internal/token/open-session',
      '/./internal/token/open-session',
      '/%69nternal/token/open-session',
      '/%2finternal/token/open-session',
      '/internal%2ftoken/open-session',
      '/api/auth/../../internal/token/open-session',
      '/api/auth/..%2f..%2finternal/token/open-session',
      '/api/auth/%2e%2e/%2e%2e/internal/token/open-session',
      '/api/auth/.%2e/.%2e/internal/token/open-session',
      '/api/auth/..;/../internal/token/open-session',
      '/api/auth//internal/token/open-session',
      '/api/auth\\..\\..\\internal/token/open-session',
      '/api/auth/%5c..%5c..%5cinternal/token/open-session',
      '/api/authx/login',
      '/api',
      '/',
    ];
    for (const path of paths)
      for (const method of ['GET', 'POST']) {
        const { status } = await send(path, { method, headers: { [credentialHeader]: 'guessed' } });
        expect(status, `${method} ${path}`).toBe(404);
      }
    const { port } = new URL(platform.url);
    expect((await send(`http://127.0.0.1:${port}/internal/auth/health`)).status).toBe(404);
    expect(everybody.flatMap(({ seen }) => seen)).toEqual([]);
  });

  it('the body arrives byte by byte as it was sent, whatever it says it is', async () => {
    const bodies = [
      '{ "a" : 1 }',
      '{"a":1,"a":2}',
      'no json {',
      '{"__proto__":{"x":1}}',
      '"ünïcödé \\u0000"',
      '',
    ];
    for (const body of bodies) {
      const headers = {
        'content-type': 'text/strange; charset=x',
        'content-length': `${Buffer.byteLength(body)}`,
      };
      await send('/api/auth/login', { method: 'POST', body, headers });
      expect(upstreams.auth.seen.at(-1)).toMatchObject({ body, method: 'POST' });
    }
    await send('/api/auth/login', {
      method: 'POST',
      body: 'chunk',
      headers: { 'transfer-encoding': 'chunked' },
    });
    expect(upstreams.auth.seen.at(-1)).toMatchObject({ body: 'chunk', headers: { 'content-length': '5' } });
  });

  it('what no service would read is refused at the gateway', async () => {
    const body = 'x'.repeat(1024 * 1024 + 1);
    const answer = await send('/api/auth/login', { method: 'POST', body });
    expect(answer.status).toBe(413);
    expect(JSON.parse(answer.text)).toMatchObject({ code: 'payload_too_large' });
    expect(upstreams.auth.seen).toEqual([]);
  });

  it('what a client says of itself is replaced by what the gateway knows', async () => {
    const traceId = 'c28bfceb4fef887a6d0e41593ca106b5';
    await send('/api/auth/me', {
      headers: {
        [credentialHeader]: 'forged',
        [clientIpHeader]: '203.0.113.1',
        'x-gatehouse-other': 'forged',
        'x-forwarded-for': '203.0.113.9, 192.0.2.1',
        'x-forwarded-host': 'evil.test',
        forwarded: 'for=203.0.113.1',
        traceparent: `00-${traceId}-4ab5494aed4beb64-01`,
        connection: 'keep-alive, x-private',
        'x-private': 'hop',
        te: 'trailers',
        'proxy-authorization': 'Basic x',
        authorization: 'Bearer abc',
        'user-agent': 'a browser',
      },
    });
    const headers = upstreams.auth.seen[0]?.headers ?? {};
    expect(headers).toMatchObject({ authorization: 'Bearer abc', 'user-agent': 'a browser' });
    expect(headers[clientIpHeader]).toBe('192.0.2.1');
    expect(String(headers[credentialHeader]).length).toBeGreaterThan(40);
    expect(headers.traceparent).toMatch(new RegExp(`^00-${traceId}-(?!4ab5494aed4beb64)`));
    expect(headers.host).toMatch(/^127\.0\.0\.1:/);
    for (const name of [
      'x-gatehouse-other',
      'x-forwarded-for',
      'x-forwarded-host',
      'forwarded',
      'x-private',
      'te',
    ])
      expect(headers, name).not.toHaveProperty(name);
    expect(headers).not.toHaveProperty('proxy-authorization');
  });

  it('status, headers and body come back as they were, with the edge’s own beside them', async () => {
    upstreams.token.answer = (_request, reply) => {
      reply.writeHead(401, {
        'content-type': 'application/problem+json',
        'www-authenticate': 'Bearer error="invalid_token"',
        etag: '"x"',
        vary: 'accept',
        connection: 'close',
      });
      reply.end('{"code":"unauthenticated"}');
    };
    const answer = await send('/api/auth/sessions');
    expect(answer).toMatchObject({ status: 401, text: '{"code":"unauthenticated"}' });
    expect(answer.headers).toMatchObject({
      'content-type': 'application/problem+json',
      'www-authenticate': 'Bearer error="invalid_token"',
      etag: '"x"',
      'x-content-type-options': 'nosniff',
    });
    expect(answer.headers.vary).toMatch(/Origin.*accept/);
    expect(answer.headers.connection).toBe('keep-alive');
  });

  it('a long answer is passed on as it comes', async () => {
    const long = 'y'.repeat(300_000);
    upstreams.audit.answer = (_request, reply) => reply.end(long);
    expect((await send('/api/audit/export')).text).toBe(long);
  });

  it('HEAD and 304 have no body', async () => {
    upstreams.token.answer = (incoming, reply) => {
      if (incoming.headers['if-none-match']) return reply.writeHead(304, { etag: '"x"' }).end();
      return reply
        .writeHead(200, { 'content-length': '17' })
        .end(incoming.method === 'HEAD' ? '' : '{"keys":["a","b"]}'.slice(0, 17));
    };
    const head = await send('/.well-known/jwks.json', { method: 'HEAD' });
    expect([head.status, head.headers['content-length'], head.text]).toEqual([200, '17', '']);
    const cached = await send('/.well-known/jwks.json', { headers: { 'if-none-match': '"x"' } });
    expect([cached.status, cached.headers.etag, cached.text]).toEqual([304, '"x"', '']);
  });

  it('a service that does not answer in time is 504, and not asked again', async () => {
    for (const method of ['GET', 'POST']) {
      upstreams.auth.seen.length = 0;
      upstreams.auth.answer = () => {};
      const answer = await send('/api/auth/me', { method });
      expect(answer.status).toBe(504);
      expect(JSON.parse(answer.text)).toMatchObject({ code: 'upstream_timeout' });
      expect(answer.headers['retry-after']).toBe('1');
      expect(upstreams.auth.seen).toHaveLength(1);
    }
  });

  it('a connection that breaks is tried once more for GET, never for POST', async () => {
    upstreams.auth.answer = (incoming) => incoming.socket.destroy();
    const post = await send('/api/auth/login', { method: 'POST', body: '{}' });
    expect(post.status).toBe(503);
    expect(JSON.parse(post.text)).toMatchObject({ code: 'upstream_unavailable' });
    expect(upstreams.auth.seen).toHaveLength(1);
    upstreams.auth.seen.length = 0;
    expect((await send('/api/auth/me')).status).toBe(503);
    expect(upstreams.auth.seen).toHaveLength(2);
    upstreams.auth.answer = (incoming, reply) => {
      if (upstreams.auth.seen.length === 3) incoming.socket.destroy();
      else reply.end('{}');
    };
    expect((await send('/api/auth/me')).status).toBe(200);
  });

  it('an answer that breaks off in the middle is a problem, not half an answer taken for whole', async () => {
    upstreams.auth.answer = (incoming, reply) => {
      reply.writeHead(200, { 'content-type': 'application/json', 'content-length': '100' }).write('{"half":');
      setImmediate(() => incoming.socket.destroy());
    };
    const answer = await send('/api/auth/me');
    expect(answer.status).toBe(503);
    expect(JSON.parse(answer.text)).toMatchObject({ code: 'upstream_unavailable' });
  });

  it('a service that is not there is 503 with Retry-After', async () => {
    upstreams.audit.close();
    const answer = await send('/api/audit/events');
    expect(answer.status).toBe(503);
    expect(answer.headers['retry-after']).toBe('1');
    expect(JSON.parse(answer.text)).toMatchObject({
      code: 'upstream_unavailable',
      trace_id: expect.any(String),
    });
  });

  it('two requests in one (smuggling) are refused before they are passed on', async () => {
    const { port } = new URL(platform.url);
    const text = await new Promise<string>((resolve, reject) => {
      let heard = '';
      const socket = connect(Number(port), '127.0.0.1', () =>
        socket.write(
          'POST /api/auth/login HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /internal/auth/health HTTP/1.1\r\nhost: x\r\n\r\n',
        ),
      );
      socket.on('data', (chunk) => {
        heard += chunk;
      });
      socket.on('close', () => resolve(heard)).on('error', reject);
    });
    expect(text).toMatch(/^HTTP\/1\.1 400 /);
    expect(upstreams.auth.seen).toEqual([]);
  });
});

describe('a gateway that does not know where a service listens', () => {
  it('says so at the start, all at once', async () => {
    const parts = { DATABASE_URL: 'postgres://127.0.0.1:9/x', NATS_URL: 'nats://127.0.0.1:9' };
    const started = run([gateway], {
      env: testEnv({ ...parts, LOG_LEVEL: 'silent', AUTH_URL: 'http://127.0.0.1:9' }),
    });
    await expect(started).rejects.toThrow(/TOKEN_URL is missing[\s\S]*AUDIT_URL is missing/);
  });
});
