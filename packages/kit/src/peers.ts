import type { FastifyInstance } from 'fastify';
import { Balancer, connectionDefaults } from './balance.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import { createPeer, type Peer, type Send } from './peer.ts';
import type { Secrets } from './secrets.ts';
import { type ServiceName, serviceNames } from './service.ts';
import type { BaseConfig } from './settings.ts';
import { clientPropagates } from './trace.ts';

/** Connections to one instance. */
const CONNECTIONS_MAX = 32;

/** Peers of one process: those inside it are reached by inject, the others over keep-alive connections. */
export interface Peers {
  readonly peer: Peer;
  /** Names the app that answers for a service of this process. */
  serveLocally(service: ServiceName, app: FastifyInstance): void;
  close(): Promise<void>;
}

/** The instances of a service that runs elsewhere, from its setting. */
export function originsOf(config: BaseConfig, service: ServiceName): readonly string[] | undefined {
  return {
    gateway: config.GATEWAY_URL,
    auth: config.AUTH_URL,
    token: config.TOKEN_URL,
    audit: config.AUDIT_URL,
    'nats-identity': config.NATS_IDENTITY_URL,
  }[service];
}

/** What the peers of one process are made of. */
export interface PeersOptions {
  readonly config: BaseConfig;
  readonly secrets: Secrets;
  readonly local: readonly ServiceName[];
  /** The process: a label. */
  readonly name: string;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** Makes the peers of one process. */
export function createPeers({ config, secrets, local, name, log, metrics }: PeersOptions): Peers {
  const apps = new Map<string, FastifyInstance>();
  const balancers = new Map<string, Balancer>();
  const reachable = serviceNames.filter(
    (service) => local.includes(service) || originsOf(config, service) !== undefined,
  );
  const balancerOf = (service: ServiceName): Balancer => {
    const known = balancers.get(service);
    if (known !== undefined) return known;
    const origins = originsOf(config, service);
    if (origins === undefined) throw new Error(`${service.toUpperCase().replace('-', '_')}_URL is not set`);
    const pool = { ...connectionDefaults, connections: CONNECTIONS_MAX };
    const made = new Balancer({ origins, upstream: service, service: name, pool, log, metrics });
    balancers.set(service, made);
    return made;
  };

  const send: Send = async ({ service, path, body, headers, deadlineMs, reads }) => {
    const app = apps.get(service);
    if (app !== undefined) {
      const answer = await withDeadline(
        app.inject({ method: 'POST', url: path, headers, payload: body }),
        deadlineMs,
      );
      return { status: answer.statusCode, text: answer.payload };
    }
    if (clientPropagates()) delete headers.traceparent;
    const signal = AbortSignal.timeout(deadlineMs);
    const answer = await balancerOf(service as ServiceName).request({
      ...{ method: 'POST', path, headers, body, signal },
      idempotent: reads,
    });
    return { status: answer.statusCode, text: await answer.body.text() };
  };

  return {
    peer: createPeer(secrets.serviceCredential, reachable, send),
    serveLocally: (service, app) => apps.set(service, app),
    close: async () => {
      await Promise.all([...balancers.values()].map((balancer) => balancer.close()));
    },
  };
}

async function withDeadline<T>(work: Promise<T>, deadlineMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('deadline passed')), deadlineMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
