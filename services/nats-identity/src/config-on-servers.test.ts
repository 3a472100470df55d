import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findFreePort, isPortFree, startProcess, temporaryHome } from '@gatehouse/embedded';
import {
  completeAccountClaims,
  completeUserClaims,
  createNkey,
  encodeJwt,
  formatCreds,
  type Nkey,
  type ServerConfigOptions,
  serverConfig,
} from '@gatehouse/nats-claims';
import { connect, credsAuthenticator } from '@nats-io/transport-node';
import { afterEach, describe, expect, test } from 'vitest';
import { serverVersions } from './server-testing.ts';

const [root, signing, sys, app] = [
  createNkey('operator'),
  createNkey('operator'),
  createNkey('account'),
  createNkey('account'),
];
const iat = Math.floor(Date.now() / 1000);
const accountJwt = (key: Nkey) =>
  encodeJwt(
    { sub: key.publicKey, name: 'a', iat },
    { ...completeAccountClaims({}), type: 'account' },
    signing,
  );
const operatorJwt = encodeJwt(
  { sub: root.publicKey, name: 'OP "x" {', iat },
  { type: 'operator', signing_keys: [signing.publicKey], system_account: sys.publicKey },
  root,
);
function credsFor(account: Nkey): Uint8Array {
  const user = createNkey('user');
  const jwt = encodeJwt(
    { sub: user.publicKey, name: 'u', iat },
    { ...completeUserClaims({}), type: 'user' },
    account,
  );
  return Buffer.from(formatCreds({ jwt, seed: user.seed().toString() }));
}

const endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

/** Writes a configuration as a stranger would, and hands back its folder and file. */
async function written(options: Pick<ServerConfigOptions, 'resolver'> & Partial<ServerConfigOptions>) {
  const home = temporaryHome('gatehouse-config-');
  endings.push(() => home.remove());
  const port = await findFreePort();
  const { config, files } = serverConfig({
    operatorJwt,
    systemAccount: { publicKey: sys.publicKey, jwt: accountJwt(sys) },
    dir: join(home.path, 'a "quoted" {dir} # $HOME \\ ü'),
    listen: { host: '127.0.0.1', port },
    serverName: 'one',
    jetstream: {
      storeDir: join(home.path, 'js'),
      maxFileBytes: 10_000_000,
      maxMemoryBytes: 0,
      domain: 'hub',
    },
    monitoring: { host: '127.0.0.1', port: await findFreePort() },
    ...options,
  });
  const file = join(home.path, 'nats-server.conf');
  writeFileSync(file, config);
  for (const { path, content } of files) writeFileSync(join(home.path, path), content);
  return { home: home.path, file, port, url: `nats://127.0.0.1:${port}` };
}

describe.each(serverVersions)('nats-server $version', ({ binary = '' }) => {
  const onServer = test.skipIf(binary === '');

  onServer.each(['full', 'cache', 'memory'] as const)(
    'takes the configuration of a %s resolver, starts with it, and lets the preloaded accounts in',
    async (resolver) => {
      const cluster = {
        name: 'c"1"',
        listen: { host: '127.0.0.1', port: await findFreePort() },
        routes: [],
      };
      const accounts = [{ publicKey: app.publicKey, jwt: accountJwt(app) }];
      // A server with both does not start alone.
      const part = resolver === 'memory' ? { cluster, jetstream: undefined } : {};
      const { home, file, port, url } = await written({
        resolver,
        accounts,
        ...part,
        limit: 100,
        ttlSeconds: 60,
      });
      const { stderr } = await promisify(execFile)(binary, ['-t', '-c', file], { cwd: home });
      expect(stderr).toContain('is valid');
      const server = await startProcess({
        name: 'nats-server',
        binary,
        args: ['-c', file],
        env: { PATH: process.env.PATH, HOME: home },
        cwd: home,
        logFile: join(home, 'log'),
        pidFile: join(home, 'pid'),
        stop: { signal: 'SIGTERM', timeoutMs: 10_000 },
        timeoutMs: 30_000,
        isReady: async () => !(await isPortFree(port)),
      });
      endings.push(() => server.stop());
      for (const account of [sys, app]) {
        const connection = await connect({
          servers: url,
          authenticator: credsAuthenticator(credsFor(account)),
        });
        await connection.flush();
        await connection.close();
      }
      const stranger = credsFor(createNkey('account'));
      await expect(
        connect({ servers: url, authenticator: credsAuthenticator(stranger), reconnect: false }),
      ).rejects.toThrow();
    },
  );
});
