import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import {
  findFreePort,
  findPrometheus,
  findRedisServer,
  type ServerProcess,
  startProcess,
  temporaryHome,
} from '@gatehouse/embedded';
import { certificateUntil, eventually } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Alerts, startAlerts } from './alerts.ts';
import { type Platform, startPlatform } from './platform.ts';
import { sectionOfCertificates } from './sections-of-settings.ts';
import { openStage, type Stage } from './symptom-stage.ts';

// docs/runbook.md, followed: the certificate of a Redis that speaks TLS ends soon, and is renewed.
const prometheus = findPrometheus();
const inDays = (days: number) => new Date(Date.now() + days * 86_400_000);
/** Ten minutes of a rule are six seconds here. */
const FACTOR = 100;
const PATIENCE_MS = 60_000;

/** Redis over TLS alone, with whichever certificate lies in its folder when it starts. */
async function startTlsRedis(home: string, port: number): Promise<ServerProcess> {
  const { path, libraryPath } = findRedisServer();
  const file = join(home, 'redis.conf');
  const settings = [
    ...['bind 127.0.0.1', 'port 0', `tls-port ${port}`, 'tls-auth-clients no', 'save ""'],
    ...[`tls-cert-file ${join(home, 'cert.pem')}`, `tls-key-file ${join(home, 'key.pem')}`, `dir ${home}`],
  ];
  writeFileSync(file, `${settings.join('\n')}\n`);
  return startProcess({
    name: 'redis-server',
    binary: path,
    args: [file],
    env: { PATH: process.env.PATH, HOME: home, LD_LIBRARY_PATH: libraryPath },
    cwd: home,
    logFile: join(home, 'redis.log'),
    stop: { signal: 'SIGTERM', timeoutMs: 5_000 },
    isReady: () => listens(port),
    timeoutMs: 20_000,
  });
}

const listens = (port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = connect({ host: '127.0.0.1', port }, () => resolve(socket.destroy() !== undefined));
    socket.once('error', () => resolve(false));
  });

describe.skipIf(prometheus === undefined)('a certificate that ends soon', () => {
  const home = temporaryHome('gatehouse-redis-tls-');
  const [ending, renewed] = [
    certificateUntil(inDays(10.2), 'ending'),
    certificateUntil(inDays(300), 'renewed'),
  ];
  let port: number;
  let redis: ServerProcess;
  let platform: Platform;
  let alerts: Alerts;
  let stage: Stage;

  const shows = ({ cert, key }: typeof ending) => {
    writeFileSync(join(home.path, 'cert.pem'), cert);
    writeFileSync(join(home.path, 'key.pem'), key, { mode: 0o600 });
  };

  beforeAll(async () => {
    if (prometheus === undefined) return;
    const trusted = join(home.path, 'trusted.pem');
    writeFileSync(trusted, ending.cert + renewed.cert);
    shows(ending);
    port = await findFreePort();
    redis = await startTlsRedis(home.path, port);
    platform = await startPlatform({
      env: {
        RATE_LIMIT_ENABLED: 'true',
        RATE_LIMIT_REDIS_URL: `rediss://localhost:${port}`,
        NODE_EXTRA_CA_CERTS: trusted,
      },
    });
    alerts = await startAlerts(platform, prometheus, FACTOR);
    stage = await openStage(platform, alerts.url);
  });
  afterAll(async () => {
    await alerts?.close();
    await stage?.close();
    await platform?.close();
    await redis?.stop();
    home.remove();
  });

  const is = (state: string) =>
    eventually(
      async () => expect(await alerts.state(sectionOfCertificates, { dep: 'redis' })).toBe(state),
      PATIENCE_MS,
    );

  it('rings, is named by the doctor with its day, and is quiet when the server shows another one', async () => {
    await is('firing');
    const cause = await stage.read(sectionOfCertificates, 'Cause');
    expect(cause).toMatch(new RegExp(`warning +certificate .*localhost:${port}.*ends in 10 d`));
    expect(cause).toMatch(/"dep":"redis"/);
    shows(renewed);
    await redis.stop();
    redis = await startTlsRedis(home.path, port);
    await is('inactive');
    expect(await stage.read(sectionOfCertificates, 'Mended')).toMatch(
      new RegExp(`ok +certificate .*localhost:${port}`),
    );
  });
});
