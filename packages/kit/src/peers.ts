import type { FastifyInstance } from 'fastify';
import { Agent, request } from 'undici';
import { createPeer, type Peer, type Send } from './peer.ts';
import type { Secrets } from './secrets.ts';
import { type ServiceName, serviceNames } from './service.ts';
import type { BaseConfig } from './settings.ts';
import { clientPropagates } from './trace.ts';

/** Peers of one process: those inside it are reached by inject, the others over keep-alive connections. */
export interface Peers {
  readonly peer: Peer;
  /** Names the app that answers for a service of this process. */
  serveLocally(service: ServiceName, app: FastifyInstance): void;
  close(): Promise<void>;
}

/** The address of a service that runs elsewhere, from its setting. */
export function addressOf(config: BaseConfig, service: ServiceName): string | undefined {
  return {
    gateway: config.GATEWAY_URL,
    auth: config.AUTH_URL,
    token: config.TOKEN_URL,
    audit: config.AUDIT_URL,
    'nats-identity': config.NATS_IDENTITY_URL,
  }[service];
}

/** Makes the peers of one process. */
export function createPeers(config: BaseConfig, secrets: Secrets, local: readonly ServiceName[]): Peers {
  const apps = new Map<string, FastifyInstance>();
  const agent = new Agent({ keepAliveTimeout: 30_000, connections: 32, connect: { timeout: 1000 } });
  const reachable = serviceNames.filter(
    (name) => local.includes(name) || addressOf(config, name) !== undefined,
  );

  const send: Send = async ({ service, path, body, headers, deadlineMs }) => {
    const app = apps.get(service);
    if (app !== undefined) {
      const answer = await withDeadline(
        app.inject({ method: 'POST', url: path, headers, payload: body }),
        deadlineMs,
      );
      return { status: answer.statusCode, text: answer.payload };
    }
    const base = addressOf(config, service as ServiceName);
    if (base === undefined) throw new Error(`${service.toUpperCase().replace('-', '_')}_URL is not set`);
    if (clientPropagates()) delete headers.traceparent;
    const signal = AbortSignal.timeout(deadlineMs);
    const answer = await request(new URL(path, base), {
      method: 'POST',
      headers,
      body,
      signal,
      dispatcher: agent,
    });
    return { status: answer.statusCode, text: await answer.body.text() };
  };

  return {
    peer: createPeer(secrets.serviceCredential, reachable, send),
    serveLocally: (service, app) => apps.set(service, app),
    close: () => agent.close(),
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
