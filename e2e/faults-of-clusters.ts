import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { findFreePort, findNatsServer, type ServerProcess, startProcess } from '@gatehouse/embedded';
import { eventually } from '@gatehouse/kit/testing';
import { expect } from 'vitest';
import { type Fault, keepDoing } from './fault.ts';
import type { Stage } from './symptom-stage.ts';

const onCluster =
  (cluster: string) =>
  (command: string): string =>
    command.replaceAll('<cluster>', cluster);

/** A NATS server of somebody's, with the configuration that Gatehouse has written for it; it ends with this process. */
interface EdgeServer {
  kill(): Promise<void>;
  start(): Promise<void>;
  /** The configuration that it has. */
  configuration(): string;
  /** Its configuration as Gatehouse writes it now, unless another is given; takes effect with the next start. */
  configure(other?: string): Promise<void>;
}

/** The only server of a cluster, with an operator of the same name and an account. */
async function serverOf(cluster: string, { gatehouse }: Stage): Promise<EdgeServer> {
  const home = join(gatehouse.home, cluster);
  mkdirSync(home);
  const port = await findFreePort();
  await gatehouse.done(['operator', 'create', cluster, '--reason', 'test']);
  const server = serverAt(home, port, () =>
    gatehouse.done([
      ...[
        'operator',
        'server-config',
        cluster,
        '--server-name',
        `${cluster}-1`,
        '--listen',
        `127.0.0.1:${port}`,
      ],
      ...['--resolver-dir', join(home, 'jwt')],
    ]),
  );
  await server.configure();
  await server.start();
  await gatehouse.done([
    ...['cluster', 'create', cluster, '--operator', cluster, '--server', `nats://127.0.0.1:${port}`],
    ...['--reason', 'test'],
  ]);
  await gatehouse.done(['account', 'create', 'till', '--operator', cluster, '--reason', 'test']);
  await settled(cluster, gatehouse);
  return server;
}

const settled = (cluster: string, gatehouse: Stage['gatehouse']) =>
  eventually(async () => expect((await gatehouse.run(['cluster', 'sync', cluster])).code).toBe(0), 30_000);

function serverAt(home: string, port: number, config: () => Promise<string>): EdgeServer {
  const configFile = join(home, 'nats.conf');
  let running: ServerProcess | undefined;
  return {
    configuration: () => readFileSync(configFile, 'utf8'),
    configure: async (other) => writeFileSync(configFile, other ?? (await config())),
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
      fill: onCluster('edge'),
    },
    {
      section: 'GatehouseNatsSyncFailing',
      labels: { cause: 'unreachable' },
      cause: [/late-shop +(?:unreachable|pending)/, /"cause":"unreachable"/],
      mended: [/late-shop +in_sync/],
      fill: onCluster('edge'),
    },
  ],
  wordsFirst: true,
  async inject(stage) {
    const server = await serverOf('edge', stage);
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

const outdated: Fault = {
  title: 'a NATS server was started with an older operator JWT: it distrusts who signs, and accounts drift',
  only: 'split',
  leads: [
    {
      section: 'GatehouseNatsDrift',
      labels: { state: 'operator_key_untrusted' },
      cause: [/till/, /does not trust the operator key/],
      mended: [/plant: nothing differs/],
      fill: onCluster('plant'),
    },
  ],
  wordsFirst: true,
  async inject(stage) {
    const { gatehouse } = stage;
    const server = await serverOf('plant', stage);
    const older = server.configuration();
    await gatehouse.done(['operator', 'key', 'add', 'plant', '--reason', 'yearly rotation']);
    await restarted(server, () => server.configure());
    // It signs when every server trusts it.
    await eventually(async () => {
      const { signing_keys } = await gatehouse.json(['operator', 'get', 'plant']);
      expect(signing_keys).toMatchObject([{ state: 'active' }, { state: 'active' }]);
    }, 30_000);
    await gatehouse.done([
      ...['account', 'update', 'till', '--operator', 'plant', '--conn', '7', '--reason', 'test'],
    ]);
    await settled('plant', gatehouse);
    await restarted(server, () => server.configure(older));
    return () => restarted(server, () => server.configure());
  },
};

async function restarted(server: EdgeServer, meanwhile: () => Promise<void>): Promise<void> {
  await server.kill();
  await meanwhile();
  await server.start();
}

/** NATS clusters that are registered here and run by others. */
export const faultsOfClusters: readonly Fault[] = [away, outdated];
