import { rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  findFreePort,
  findNatsServer,
  type RunningServer,
  startNats,
  temporaryHome,
} from '@gatehouse/embedded';

/** A cluster of real nats-servers in operator mode, on loopback. */
export interface TestCluster {
  readonly servers: readonly TestServer[];
  /** Addresses of all servers. */
  readonly urls: string[];
  close(): Promise<void>;
}

/** One server of it. */
export interface TestServer {
  readonly name: string;
  readonly url: string;
  stop(): Promise<void>;
  kill(): Promise<void>;
  /** Starts it again on its ports with its store; `wiped` without the resolver's. `operatorJwt`: with another operator JWT. */
  start(options?: { wiped?: boolean; operatorJwt?: string }): Promise<void>;
}

/** What a cluster is made of. */
export interface TestClusterOptions {
  readonly operatorJwt: string;
  readonly systemAccount: { readonly publicKey: string; readonly jwt: string };
  /** 1 unless given. More than one are routed to each other. */
  readonly servers?: number;
  /** Lines in place of the full resolver. */
  readonly resolver?: (home: string) => string;
  /** Interval of the full resolver's own exchange; long unless given, so that it does not blur what is tested. */
  readonly intervalSeconds?: number;
  /** Another nats-server than the one at hand, such as 2.10's. */
  readonly binary?: string;
}

/** Starts a cluster. */
export async function startTestCluster(options: TestClusterOptions): Promise<TestCluster> {
  const home = temporaryHome('gatehouse-cluster-');
  const count = options.servers ?? 1;
  const routes: number[] = [];
  for (let index = 0; index < count; index += 1) routes.push(await findFreePort());
  const servers = await Promise.all(
    routes.map((_, index) => startServer(join(home.path, `s${index}`), index, routes, options)),
  );
  return {
    servers,
    urls: servers.map(({ url }) => url),
    async close() {
      await Promise.all(servers.map((server) => server.stop()));
      home.remove();
    },
  };
}

async function startServer(
  home: string,
  index: number,
  routes: readonly number[],
  options: TestClusterOptions,
): Promise<TestServer> {
  const name = `s${index}`;
  const binary = options.binary ?? findNatsServer().path;
  let operatorJwt = options.operatorJwt;
  const start = (port?: number): Promise<RunningServer> =>
    startNats({ home, binary, serverName: name, config: configOf(), ...(port && { port }) });
  const configOf = () => `
operator: ${operatorJwt}
system_account: ${options.systemAccount.publicKey}
${options.resolver?.(home) ?? fullResolver(home, options.intervalSeconds ?? 3_600)}
resolver_preload: { ${options.systemAccount.publicKey}: ${options.systemAccount.jwt} }
${routes.length > 1 ? clusterOf(index, routes) : ''}`;
  let server = await start();
  const { port, url } = server;
  return {
    name,
    url,
    stop: () => server.stop(),
    kill: () => server.kill(),
    async start(again = {}) {
      if (again.wiped) rmSync(join(home, 'jwt'), { recursive: true, force: true });
      operatorJwt = again.operatorJwt ?? operatorJwt;
      server = await start(port);
    },
  };
}

const fullResolver = (home: string, intervalSeconds: number) => `resolver {
  type: full
  dir: ${JSON.stringify(join(home, 'jwt'))}
  allow_delete: true
  interval: "${intervalSeconds}s"
}`;

const clusterOf = (index: number, routes: readonly number[]) => `cluster {
  name: "c"
  listen: "127.0.0.1:${routes[index]}"
  routes: [${routes.filter((_, other) => other !== index).map((port) => `"nats://127.0.0.1:${port}"`)}]
}`;
