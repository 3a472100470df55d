import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { eventually, startPlatform, type TestPlatform } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { gateway } from './service.ts';

// Imports are larger than anything else: they pass through without being gathered.
const MIB = 1024 * 1024;
let upstream: Server;
let platform: TestPlatform;
let answer: (incoming: IncomingMessage, reply: ServerResponse) => void;
let aborted = 0;

beforeAll(async () => {
  upstream = createServer((incoming, reply) => {
    incoming.on('error', () => {
      aborted += 1;
    });
    answer(incoming, reply);
  });
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
  const others = { AUTH_URL: url, TOKEN_URL: url, AUDIT_URL: url };
  platform = await startPlatform([gateway], {
    ...others,
    NATS_IDENTITY_URL: url,
    UPSTREAM_TIMEOUT_SECONDS: '1',
  });
});
beforeEach(() => {
  answer = (_incoming, reply) => reply.end('{}');
});
afterAll(async () => {
  await platform?.close();
  upstream?.closeAllConnections();
  upstream?.close();
});

const send = (path: string, body: Buffer, headers: Record<string, string> = {}) =>
  new Promise<{ status: number; text: string }>((resolve, reject) => {
    const { hostname, port } = new URL(platform.url);
    const sent = request({ hostname, port, path, method: 'POST', headers }, (reply) => {
      let text = '';
      reply.on('data', (chunk) => {
        text += chunk;
      });
      reply.on('end', () => resolve({ status: reply.statusCode ?? 0, text }));
    });
    sent.on('error', reject);
    sent.end(body);
  });

it('twenty megabytes arrive as they were sent, and nowhere else', async () => {
  const body = Buffer.alloc(20 * MIB, 'abcdefghij');
  answer = (incoming, reply) => {
    const hash = createHash('sha256');
    incoming.on('data', (chunk) => hash.update(chunk));
    incoming.on('end', () => reply.end(hash.digest('hex')));
  };
  const headers = { 'content-type': 'application/json' };
  expect(await send('/api/nats/import/nsc', body, headers)).toEqual({
    status: 200,
    text: createHash('sha256').update(body).digest('hex'),
  });
  expect((await send('/api/nats/operators', body, headers)).status).toBe(413);
});

it('may take longer than other answers', async () => {
  answer = (incoming, reply) => {
    incoming.resume().on('end', () => setTimeout(() => reply.end('late'), 3_000));
  };
  expect(await send('/api/nats/import/nsc', Buffer.from('{}'))).toEqual({ status: 200, text: 'late' });
  expect((await send('/api/nats/operators', Buffer.from('{}'))).status).toBe(504);
});

it('a refusal before the body was read reaches the client', async () => {
  answer = (_incoming, reply) =>
    reply.writeHead(401, { 'content-type': 'application/json' }).end('{"code":"x"}');
  for (let time = 0; time < 5; time += 1)
    expect(await send('/api/nats/import/nsc', Buffer.alloc(8 * MIB))).toEqual({
      status: 401,
      text: '{"code":"x"}',
    });
});

it('a client that goes away takes its request with it', async () => {
  const before = aborted;
  const begun = Promise.withResolvers<void>();
  answer = (incoming) => incoming.once('data', () => begun.resolve()).resume();
  const { hostname, port } = new URL(platform.url);
  const socket = connect(Number(port), hostname);
  socket.write('POST /api/nats/import/nsc HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\nabc');
  await begun.promise;
  socket.destroy();
  await eventually(async () => expect(aborted).toBe(before + 1));
});

it('a service that is gone is a 503', async () => {
  answer = (incoming) => incoming.destroy();
  expect((await send('/api/nats/import/nsc', Buffer.from('{}'))).status).toBe(503);
});
