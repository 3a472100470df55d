import { writeFileSync } from 'node:fs';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { getCACertificates, setDefaultCACertificates, TLSSocket } from 'node:tls';
import {
  findNatsServer,
  findRedisServer,
  type RunningServer,
  startNats,
  startRedis,
  temporaryHome,
} from '@gatehouse/embedded';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Balancer, connectionDefaults } from './balance.ts';
import { connectBus } from './bus.ts';
import { forgetCertificates, noteCertificate } from './certificates.ts';
import { openDatabase } from './database.ts';
import { createLog } from './log.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import { createRateLimitStore } from './rate-limit-store.ts';
import type { BaseConfig } from './settings.ts';
import { certificateUntil, eventually, type TestDatabase, testDatabase } from './testing.ts';

const log = createLog({ level: 'silent', pretty: false });
const home = temporaryHome('gatehouse-certificates-');
const end = new Date('2037-05-06T07:08:09Z');
const pair = certificateUntil(end);
let database: TestDatabase;
const closing: (() => unknown)[] = [];

beforeAll(async () => {
  setDefaultCACertificates([...getCACertificates('default'), pair.cert]);
  database = await testDatabase();
});
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});
afterAll(async () => {
  await database.drop();
  home.remove();
});

/** What one process says of its connections. */
async function ends(metrics: Metrics): Promise<Record<string, unknown>> {
  const { values } = await metrics.certificateExpiry.get();
  return Object.fromEntries(values.map(({ labels, value }) => [`${labels.service} ${labels.dep}`, value]));
}

async function listen(server: Server): Promise<number> {
  const open = new Set<Socket>();
  server.on('connection', (socket) => open.add(socket));
  closing.push(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
  return (server.address() as AddressInfo).port;
}

/** Speaks TLS and passes what it hears on to a server that does not. `first` is answered before the handshake. */
function terminate(to: number, first?: { readonly bytes: number; readonly answer: string }): Promise<number> {
  const pass = (socket: Socket) => {
    const secured = new TLSSocket(socket, { isServer: true, ...pair });
    const behind = connect(to, '127.0.0.1');
    for (const one of [secured, behind]) one.on('error', () => one.destroy());
    secured.pipe(behind).pipe(secured);
  };
  return listen(
    createServer((socket) => {
      if (first === undefined) return pass(socket);
      socket.once('readable', () => {
        socket.read(first.bytes);
        socket.write(first.answer);
        pass(socket);
      });
    }),
  );
}

async function started(server: Promise<RunningServer>): Promise<RunningServer> {
  const running = await server;
  closing.push(() => running.stop());
  return running;
}

describe('the end of a certificate that an own connection was shown', () => {
  it('by Postgres', async () => {
    const metrics = createMetrics({ runtime: false });
    const url = new URL(database.url);
    url.port = String(await terminate(Number(url.port), { bytes: 8, answer: 'S' }));
    url.hostname = 'localhost';
    url.search = '?sslmode=verify-full';
    const config = {
      DATABASE_URL: url.href,
      DATABASE_POOL_MAX: 1,
      DATABASE_SET_ROLE: true,
      DATABASE_POOLER: 'none',
      DATABASE_PREPARED_STATEMENTS: true,
    } as BaseConfig;
    const opened = openDatabase('auth', config, log, metrics);
    closing.push(() => opened.close());
    await opened.pool.query('select 1');
    expect(await ends(metrics)).toEqual({ 'auth db': end.getTime() / 1000 });
    const { values } = await metrics.certificateRead.get();
    expect(Math.abs((values[0]?.value ?? 0) - Date.now() / 1000)).toBeLessThan(60);
  });

  it('by NATS, which says something in the clear first', async () => {
    const metrics = createMetrics({ runtime: false });
    const [cert, key] = [join(home.path, 'cert.pem'), join(home.path, 'key.pem')];
    writeFileSync(cert, pair.cert);
    writeFileSync(key, pair.key, { mode: 0o600 });
    const nats = await started(
      startNats({
        home: join(home.path, 'nats'),
        config: `tls { cert_file: ${JSON.stringify(cert)}, key_file: ${JSON.stringify(key)} }\n`,
        binary: findNatsServer().path,
      }),
    );
    const onCertificate = noteCertificate(metrics, { service: 'token', dep: 'nats' });
    const bus = connectBus({ url: `tls://localhost:${nats.port}`, name: 'token', log, onCertificate });
    closing.push(() => bus.close());
    await eventually(() => bus.nc() !== undefined);
    await eventually(async () => expect(await ends(metrics)).toEqual({ 'token nats': end.getTime() / 1000 }));
  });

  it('by Redis', async () => {
    const metrics = createMetrics({ runtime: false });
    const { path, libraryPath } = findRedisServer();
    const redis = await started(startRedis({ home: join(home.path, 'redis'), binary: path, libraryPath }));
    const store = createRateLimitStore({
      redisUrl: `rediss://localhost:${await terminate(redis.port)}`,
      hashKey: Buffer.alloc(32, 1),
      onCertificate: noteCertificate(metrics, { service: 'gateway', dep: 'redis' }),
    });
    closing.push(() => store.close());
    await store.ready(10_000);
    expect(store.status).toBe('redis');
    expect(await ends(metrics)).toEqual({ 'gateway redis': end.getTime() / 1000 });
  });

  it('by another service', async () => {
    const metrics = createMetrics({ runtime: false });
    const port = await listen(createHttpsServer(pair, (_request, response) => response.end('here')));
    const balancer = new Balancer({
      origins: [`https://localhost:${port}`],
      upstream: 'auth',
      service: 'gateway',
      pool: connectionDefaults,
      log,
      metrics,
    });
    closing.push(() => balancer.close());
    await (await balancer.request({ path: '/', method: 'GET' })).body.dump();
    expect(await ends(metrics)).toEqual({ 'gateway peer': end.getTime() / 1000 });
  });
});

describe('of several servers', () => {
  const inDays = (days: number) => new Date(Math.floor(Date.now() / 1000 + days * 86_400) * 1000);
  const shownUntil = (date: Date) => ({ valid_to: date.toUTCString() }) as never;
  const noted = () => {
    const metrics = createMetrics({ runtime: false });
    const note = noteCertificate(metrics, { service: 'auth', dep: 'nats' });
    return { metrics, note, end: async () => (await ends(metrics))['auth nats'] };
  };

  it('the first end counts, until that server shows a newer one', async () => {
    const { note, end: told } = noted();
    note('one', shownUntil(inDays(5)));
    note('two', shownUntil(inDays(90)));
    expect(await told()).toBe(inDays(5).getTime() / 1000);
    note('one', shownUntil(inDays(95)));
    expect(await told()).toBe(inDays(90).getTime() / 1000);
  });

  it('an authority that ends before the certificate does is what counts', async () => {
    const { note, end: told } = noted();
    const issuer = { valid_to: inDays(3).toUTCString() } as { issuerCertificate?: unknown };
    issuer.issuerCertificate = issuer;
    note('one', { valid_to: inDays(90).toUTCString(), issuerCertificate: issuer } as never);
    expect(await told()).toBe(inDays(3).getTime() / 1000);
  });

  it('one that nobody has seen for more than a day is forgotten', async () => {
    const { metrics, note, end: told } = noted();
    note('gone', shownUntil(inDays(-1)));
    forgetCertificates(metrics);
    expect(await told()).toBeDefined();
    forgetCertificates(metrics, Date.now() / 1000 + 27 * 3_600);
    expect(await told()).toBeUndefined();
  });
});
