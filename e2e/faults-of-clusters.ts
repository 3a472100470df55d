import { mkdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { findFreePort, findNatsServer, type ServerProcess, startProcess } from '@gatehouse/embedded';
import { eventually } from '@gatehouse/kit/testing';
import { expect } from 'vitest';
import { type Fault, keepDoing } from './fault.ts';
import type { Stage } from './symptom-stage.ts';

const cluster = 'edge';
const onCluster = (command: string): string => command.replaceAll('<cluster>', cluster);

/** A NATS server of somebody's, with the configuration that Gatehouse has written for it; it ends with this process. */
interface EdgeServer {
  kill(): Promise<void>;
  start(): Promise<void>;
  /** Its configuration as Gatehouse writes it now; takes effect with the next start. */
  configure(): Promise<void>;
}

async function edgeServer({ gatehouse }: Stage): Promise<EdgeServer> {
  const home = join(gatehouse.home, 'edge');
  mkdirSync(home);
  const port = await findFreePort();
  await gatehouse.done(['operator', 'create', 'edge', '--reason', 'test']);
  const server = serverAt(home, port, () =>
    gatehouse.done([
      ...['operator', 'server-config', 'edge', '--server-name', 'e1', '--listen', `127.0.0.1:${port}`],
      ...['--resolver-dir', join(home, 'jwt')],
    ]),
  );
  await server.configure();
  await server.start();
  await gatehouse.done([
    ...['cluster', 'create', cluster, '--operator', 'edge', '--server', `nats://127.0.0.1:${port}`],
    ...['--reason', 'test'],
  ]);
  await gatehouse.done(['account', 'create', 'till', '--operator', 'edge', '--reason', 'test']);
  await settled(gatehouse);
  return server;
}

const settled = (gatehouse: Stage['gatehouse']) =>
  eventually(async () => expect((await gatehouse.run(['cluster', 'sync', cluster])).code).toBe(0), 30_000);

function serverAt(home: string, port: number, config: () => Promise<string>): EdgeServer {
  const configFile = join(home, 'nats.conf');
  let running: ServerProcess | undefined;
  return {
    configure: async () => writeFileSync(configFile, await config()),
    kill: async () => running?.kill(),
    async start() {
      running = await startProcess({
        name: 'nats-server',
        binary: findNatsServer().path,
        args: ['-c', configFile],
        env: { PATH: process.env.PATH, HOME: home },
        cwd: home,
        logFile: join(home, 'nats.log'),
        stop: { signal: 'SIGTERM', timeoutMs: 10_000 },
        isReady: () => answers(port),
        timeoutMs: 20_000,
      });
    },
  };
}

const answers = (port: number) =>
  new Promise<boolean>((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('data', () => resolve(socket.destroy() !== undefined));
    socket.once('error', () => resolve(false));
  });

const away: Fault = {
  title: 'the server of a NATS cluster is away: unhealthy, and a new account does not reach it',
  only: 'split',
  leads: [
    {
      section: 'GatehouseNatsClusterUnhealthy',
      cause: [/does not answer|connection refused/],
      mended: [/(?<!un)healthy/],
      gone: [/unhealthy|does not answer/],
      fill: onCluster,
    },
    {
      section: 'GatehouseNatsSyncFailing',
      labels: { cause: 'unreachable' },
      cause: [/late-shop +(?:unreachable|pending)/, /"cause":"unreachable"/],
      mended: [/late-shop +in_sync/],
      fill: onCluster,
    },
  ],
  wordsFirst: true,
  async inject(stage) {
    const server = await edgeServer(stage);
    await server.kill();
    const create = (name: string) =>
      stage.gatehouse.run(['account', 'create', name, '--operator', 'edge', '--reason', 'test']);
    await create('late-shop');
    // One account is tried at longer and longer intervals, which do not run faster here.
    let shops = 0;
    const stop = keepDoing(() => create(`shop-${shops++}`));
    return async () => {
      await stop();
      await server.start();
    };
  },
};

/** NATS clusters that are registered here and run by others. */
export const faultsOfClusters: readonly Fault[] = [away];
