import { join } from 'node:path';
import { type BusFiles, openBusFiles } from './bus-files.ts';
import { findNatsServer } from './find-binary.ts';
import { startNats } from './nats.ts';
import { findFreePort } from './port.ts';
import type { RunningServer } from './server-process.ts';

/** One of the servers of an installation's bus. */
export interface BusServer {
  readonly name: string;
  readonly url: string;
  /** Only with a monitoring port. */
  readonly monitorUrl: string;
  stop(): Promise<void>;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** Starts it on its port, with its store. */
  start(): Promise<void>;
}

/** The bus of an installation, in operator mode: who connects needs credentials. */
export interface BusServers {
  readonly servers: readonly BusServer[];
  /** Of the first server. */
  readonly url: string;
  /** Of the first server; only with a monitoring port. */
  readonly monitorUrl: string;
  /** Of all, as NATS_URL names them. */
  readonly urls: string;
  /** The credentials file of one process. */
  credsOf(service: string): string;
  /** All of them. */
  stop(): Promise<void>;
  kill(): Promise<void>;
  start(): Promise<void>;
}

/** What a bus is made with. */
export interface BusServersOptions {
  readonly home: string;
  readonly bus: BusFiles;
  /** More than one are routed to each other, and their streams may have as many replicas. */
  readonly count: number;
  readonly monitor: boolean;
}

/** The servers of a bus, not started yet. */
export async function busServers({ home, bus, count, monitor }: BusServersOptions): Promise<BusServers> {
  const routes = count === 1 ? [] : await Promise.all(Array.from({ length: count }, () => findFreePort()));
  const servers = await Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const name = index === 0 ? 'nats' : `nats-${index + 1}`;
      // Each keeps the accounts in a folder of its own, and hears from the others what it lacks.
      const { config } =
        index === 0 ? bus : openBusFiles(join(home, 'bus'), join(home, 'bus', `jwt-${index + 1}`));
      const monitorPort = monitor ? await findFreePort() : 0;
      const parts = [
        monitorPort === 0 ? '' : `http: "127.0.0.1:${monitorPort}"`,
        clusterOf(routes, index),
        config,
      ];
      return busServer(name, { folder: join(home, name), config: parts.join('\n'), monitorPort });
    }),
  );
  const [first] = servers as [BusServer];
  const all = (work: (server: BusServer) => Promise<void>) => async () => {
    await Promise.all(servers.map(work));
  };
  return {
    servers,
    get url() {
      return first.url;
    },
    monitorUrl: first.monitorUrl,
    get urls() {
      return servers.map(({ url }) => url).join(',');
    },
    credsOf: (service) => join(bus.credsFolder, `${service}.creds`),
    stop: all((server) => server.stop()),
    kill: all((server) => server.kill()),
    start: all((server) => server.start()),
  };
}

function clusterOf(routes: readonly number[], index: number): string {
  if (routes.length === 0) return '';
  const others = routes.filter((_, at) => at !== index).map((port) => `"nats://127.0.0.1:${port}"`);
  return `cluster { name: "gatehouse", listen: "127.0.0.1:${routes[index]}", routes: [${others.join(', ')}] }`;
}

function busServer(name: string, about: { folder: string; config: string; monitorPort: number }): BusServer {
  let server: RunningServer | undefined;
  return {
    name,
    get url() {
      return server?.url ?? '';
    },
    monitorUrl: `http://127.0.0.1:${about.monitorPort}`,
    async start() {
      server = await startNats({
        home: about.folder,
        config: about.config,
        binary: findNatsServer().path,
        ...(server && { port: server.port }),
      });
    },
    stop: async () => server?.stop(),
    kill: async () => server?.kill(),
  };
}
