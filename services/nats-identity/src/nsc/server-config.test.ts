import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findNatsServer, startNats, temporaryHome } from '@gatehouse/embedded';
import { encodeJwt, formatCreds } from '@gatehouse/nats-claims';
import { connect, credsAuthenticator } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startNatsIdentity, type TestNatsIdentity } from '../testing.ts';
import { makeStore, type TestStore } from './nsc-testing.ts';

let nis: TestNatsIdentity;
let store: TestStore;
let operatorId: string;
const home = temporaryHome('gatehouse-server-config-');
beforeAll(async () => {
  nis = await startNatsIdentity();
  store = makeStore();
  const imported = await nis.api.post(
    '/api/nats/import/nsc',
    { files: store.files },
    { token: nis.root.token },
  );
  operatorId = imported.body.operator.id;
});
afterAll(async () => {
  await nis?.close();
  home.remove();
});

const ask = (query: Record<string, string> = {}, token = nis.root.token) =>
  nis.api.get(`/api/nats/operators/${operatorId}/server-config?${new URLSearchParams(query)}`, { token });

/** Writes what the route answered, and lets nats-server judge it. */
async function judged(name: string, query: Record<string, string>): Promise<string> {
  const { body, status, text } = await ask({ ...query, resolver_dir: join(home.path, name, 'jwt') });
  expect(status, text).toBe(200);
  const folder = join(home.path, name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'nats.conf'), body.config);
  for (const file of body.files) writeFileSync(join(folder, file.path), file.content);
  const { stderr } = await promisify(execFile)(findNatsServer().path, [
    '-t',
    '-c',
    join(folder, 'nats.conf'),
  ]);
  return stderr;
}

describe('a server’s configuration', () => {
  it.each([
    ['full', { resolver: 'full', limit: '5000', interval_seconds: '60' }],
    ['cache', { resolver: 'cache', ttl_seconds: '300' }],
    ['memory', { resolver: 'memory' }],
    [
      'cluster',
      {
        server_name: 'n1',
        listen: '127.0.0.1:4222',
        monitoring: '[::1]:8222',
        cluster: 'c";evil:{',
        cluster_listen: '127.0.0.1:6222',
        routes: 'nats://127.0.0.1:6223, nats://127.0.0.1:6224',
        jetstream: 'true',
        store_dir: './js',
        max_memory: '1000000',
        max_file: '0',
      },
    ],
  ] as const)('nats-server takes it: %s', async (name, query) => {
    expect(await judged(name, query)).toContain('is valid');
  });

  it('a server started with it takes the users of the operator’s accounts', async () => {
    const { body } = await ask({ resolver: 'memory' });
    const folder = join(home.path, 'started');
    mkdirSync(folder, { recursive: true });
    for (const file of body.files) writeFileSync(join(folder, file.path), file.content);
    const server = await startNats({
      home: folder,
      binary: findNatsServer().path,
      serverName: 'n1',
      config: body.config,
    });
    try {
      const jwt = encodeJwt(
        { sub: store.keys.printer.publicKey, name: 'printer', iat: Math.floor(Date.now() / 1000) },
        { type: 'user', issuer_account: store.keys.orders.publicKey },
        store.keys.worker,
      );
      const creds = formatCreds({ jwt, seed: store.keys.printer.seed().toString() });
      const nc = await connect({
        servers: server.url,
        authenticator: credsAuthenticator(Buffer.from(creds)),
      });
      nc.publish('orders.printer', 'x');
      await nc.flush();
      await nc.close();
    } finally {
      await server.stop();
    }
  });

  it('a mistake is a sentence, never a line of the configuration', async () => {
    for (const query of [
      { cluster: 'c' },
      { resolver: 'url' },
      { server_name: 'two words' },
      { cluster: 'two words', cluster_listen: '6222' },
      { server_name: 'x\ny' },
      { listen: '127.0.0.1:99999' },
      { listen: 'a b:1' },
      { limit: '-1' },
      { nothing: 'x' },
    ])
      expect((await ask(query as unknown as Record<string, string>)).status, JSON.stringify(query)).toBe(400);
    const admin = await nis.tenantAdmin();
    expect((await ask({}, admin.token)).status).toBe(403);
  });

  it('holds nothing secret', async () => {
    const { text } = await ask({ resolver: 'memory' });
    for (const seed of store.seeds) expect(text).not.toContain(seed);
  });
});
