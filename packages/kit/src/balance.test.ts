import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { Balancer, connectionDefaults } from './balance.ts';
import { createMetrics } from './metrics.ts';
import { eventually } from './testing.ts';

/** An instance of a service: counts what reaches it, answers as the test says. */
class Backend {
  readonly seen: string[] = [];
  ready: { status: number; body: string } = { status: 200, body: '{"status":"ready"}' };
  answer: (request: IncomingMessage, reply: ServerResponse) => void = (_request, reply) => reply.end('done');
  #server: Server | undefined;
  port = 0;

  async listen(): Promise<this> {
    const server = createServer((request, reply) => {
      if (request.url === '/health/ready')
        return reply
          .writeHead(this.ready.status, { 'content-type': 'application/json' })
          .end(this.ready.body);
      const chunks: Buffer[] = [];
      request.on('data', (chunk) => chunks.push(chunk));
      request.on('end', () => {
        this.seen.push(`${request.method} ${Buffer.concat(chunks)}`);
        this.answer(request, reply);
      });
    });
    await new Promise<void>((resolve) => server.listen(this.port, '127.0.0.1', resolve));
    this.port = (server.address() as AddressInfo).port;
    this.#server = server;
    return this;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  async end(): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise<unknown>((resolve) => (this.#server ? this.#server.close(resolve) : resolve(0)));
  }
}

describe('requests to several instances', () => {
  const open: { close(): Promise<unknown> }[] = [];
  afterEach(async () => {
    for (const one of open.splice(0)) await one.close();
  });

  const backends = async (count: number): Promise<Backend[]> => {
    const made = await Promise.all(Array.from({ length: count }, () => new Backend().listen()));
    open.push(...made.map((one) => ({ close: () => one.end() })));
    return made;
  };

  function balance(to: readonly Backend[]) {
    const metrics = createMetrics({ runtime: false });
    const balancer = new Balancer({
      origins: to.map(({ origin }) => origin),
      ...{ upstream: 'token', service: 'test', log: pino({ level: 'silent' }), metrics },
      pool: { ...connectionDefaults, connections: 8 },
    });
    open.unshift(balancer);
    const send = async (method: 'GET' | 'POST', body?: string, idempotent?: boolean) => {
      const answer = await balancer.request({
        ...{ path: '/', method, body: body ?? null },
        ...(idempotent !== undefined && { idempotent }),
      });
      return { status: answer.statusCode, text: await answer.body.text() };
    };
    const readyOf = async ({ origin }: Backend) => {
      const { values } = await metrics.upstreamReady.get();
      return values.find(({ labels }) => labels.target === origin)?.value;
    };
    const retries = async () => {
      const { values } = await metrics.upstreamRetries.get();
      return Object.fromEntries(values.map(({ labels, value }) => [labels.reason, value]));
    };
    return { send, readyOf, retries };
  }

  it('they share the work', async () => {
    const three = await backends(3);
    const { send } = balance(three);
    for (let round = 0; round < 30; round += 1) await send('POST', 'x');
    for (const one of three) expect(one.seen).toHaveLength(10);
  });

  it('the one with the fewest requests open is next', async () => {
    const [slow, quick] = (await backends(2)) as [Backend, Backend];
    const held: ServerResponse[] = [];
    slow.answer = (_request, reply) => held.push(reply);
    const { send } = balance([slow, quick]);
    const all = Array.from({ length: 2 }, () => send('GET'));
    await eventually(() => expect(held).toHaveLength(1));
    for (let round = 0; round < 10; round += 1) await send('GET');
    expect(slow.seen).toHaveLength(1);
    expect(quick.seen).toHaveLength(11);
    for (const reply of held) reply.end();
    await Promise.all(all);
  });

  it('one that refuses connections costs nobody a request, whatever its method, and is used again once it is ready', async () => {
    const [gone, here] = (await backends(2)) as [Backend, Backend];
    const { send, readyOf, retries } = balance([gone, here]);
    await gone.end();
    for (let round = 0; round < 6; round += 1)
      expect(await send('POST', `${round}`)).toMatchObject({ status: 200 });
    expect(here.seen.map((one) => one.slice(5))).toEqual(['0', '1', '2', '3', '4', '5']);
    await eventually(async () => expect(await readyOf(gone)).toBe(0));
    expect((await retries()).unsent ?? 0).toBeLessThanOrEqual(1);
    await gone.listen();
    await eventually(async () => expect(await readyOf(gone)).toBe(1));
    await Promise.all(Array.from({ length: 4 }, () => send('POST', 'again')));
    expect(gone.seen).toContain('POST again');
  });

  it('what was written is never written again unless it is harmless: then once, on another instance', async () => {
    const two = (await backends(2)) as [Backend, Backend];
    const { send, retries } = balance(two);
    for (const one of two) one.answer = (request) => request.socket.destroy();
    const seen = () => two.flatMap((one) => one.seen.splice(0));
    await expect(send('POST', 'a sign-in')).rejects.toThrow();
    expect(seen()).toEqual(['POST a sign-in']);
    await expect(send('GET')).rejects.toThrow();
    expect(two.map((one) => one.seen.length)).toEqual([1, 1]);
    seen();
    await expect(send('POST', 'a question', true)).rejects.toThrow();
    expect(two.map((one) => one.seen.length)).toEqual([1, 1]);
    expect(await retries()).toEqual({ repeated: 2 });
  });

  it('one whose answer has begun is not asked of another', async () => {
    const two = await backends(2);
    for (const one of two)
      one.answer = (request, reply) => {
        reply.writeHead(200, { 'content-length': 100 }).write('begun');
        setImmediate(() => request.socket.destroy());
      };
    const { send } = balance(two);
    await expect(send('GET')).rejects.toThrow();
    expect(two.flatMap(({ seen }) => seen)).toHaveLength(1);
  });

  it('one that drains gets no more; when none is ready, those that serve are used', async () => {
    const [one, other] = (await backends(2)) as [Backend, Backend];
    const { send, readyOf } = balance([one, other]);
    one.ready = { status: 503, body: '{"status":"draining"}' };
    await eventually(async () => expect(await readyOf(one)).toBe(0));
    for (let round = 0; round < 5; round += 1) await send('GET');
    expect([one.seen.length, other.seen.length]).toEqual([0, 5]);
    other.ready = { status: 503, body: '{"status":"unavailable"}' };
    await eventually(async () => expect(await readyOf(other)).toBe(0));
    for (let round = 0; round < 5; round += 1) expect(await send('GET')).toMatchObject({ status: 200 });
    expect([one.seen.length, other.seen.length]).toEqual([0, 10]);
  });

  it('an answer that ends its connection is asked about at once, before the next look would be due', async () => {
    const [one, other] = (await backends(2)) as [Backend, Backend];
    const { send, readyOf } = balance([one, other]);
    await eventually(async () => expect(await readyOf(one)).toBe(1));
    one.ready = { status: 503, body: '{"status":"draining"}' };
    one.answer = (_request, reply) => reply.setHeader('connection', 'close').end();
    await Promise.all([send('GET'), send('GET')]);
    await eventually(async () => expect(await readyOf(one)).toBe(0), 900);
  });

  it('a single instance is asked directly, and again when its connection had gone', async () => {
    const [only] = (await backends(1)) as [Backend];
    const { send } = balance([only]);
    expect(await send('POST', '1')).toMatchObject({ status: 200 });
    await only.end();
    await expect(send('POST', '2')).rejects.toThrow();
    await only.listen();
    expect(await send('POST', '3')).toMatchObject({ status: 200 });
    expect(only.seen).toEqual(['POST 1', 'POST 3']);
  });
});
