import { setTimeout as delay } from 'node:timers/promises';
import { type ConnectionOptions, connect, type NatsConnection, wsconnect } from '@nats-io/transport-node';
import type { Login } from './connection-login.ts';

/** No server of a cluster let us in. Its message names the cause and no secret. */
export class ClusterUnreachable extends Error {
  override readonly name = 'ClusterUnreachable';
}

const CONNECT_TIMEOUT_MS = 3_000;
/** Of the whole attempt, however many addresses a cluster has. */
const CONNECT_DEADLINE_MS = 10_000;
const RECONNECT_MAX_MS = 2_000;

/**
 * Connects to a cluster as a user of its system account. Only the addresses that a platform administrator wrote are ever
 * dialled: what servers say of further ones is not followed, or a server could send us, with a login, anywhere.
 * @throws ClusterUnreachable
 */
export async function openConnection(
  servers: readonly string[],
  login: Login,
  name: string,
): Promise<NatsConnection> {
  const addresses = servers.map((one) => new URL(one.includes('://') ? one : `nats://${one}`));
  const web = addresses.filter(({ protocol }) => protocol === 'ws:' || protocol === 'wss:');
  if (web.length > 0 && web.length < addresses.length)
    throw new ClusterUnreachable('the addresses mix nats and websocket: give one kind');
  const options = optionsOf(addresses, login, name);
  const opening = web.length > 0 ? wsconnect(options) : connect(options);
  const late = Symbol('late');
  try {
    const first = await Promise.race([opening, delay(CONNECT_DEADLINE_MS, late, { ref: false })]);
    if (first !== late) return first as NatsConnection;
  } catch (cause) {
    throw new ClusterUnreachable(reasonOf(cause), { cause });
  }
  // It may still come; nobody waits for it any more.
  opening.then((nc) => nc.close()).catch(() => {});
  throw new ClusterUnreachable('no server answered in time');
}

function optionsOf(addresses: readonly URL[], login: Login, name: string): ConnectionOptions {
  let losses = 0;
  return {
    servers: addresses.map(({ protocol, host, href }) => (protocol.startsWith('ws') ? href : host)),
    name,
    ...(addresses.some(({ protocol }) => protocol === 'tls:') ? { tls: {} } : {}),
    authenticator: login.authenticate,
    inboxPrefix: login.inboxPrefix,
    timeout: CONNECT_TIMEOUT_MS,
    ignoreClusterUpdates: true,
    maxReconnectAttempts: -1,
    reconnectDelayHandler: () => {
      losses += 1;
      const most = Math.min(RECONNECT_MAX_MS, 50 * 2 ** (losses % 6));
      return most / 2 + Math.random() * (most / 2);
    },
    // A login that is being renewed must not end the connection for good.
    ignoreAuthErrorAbort: true,
    pingInterval: 5_000,
    maxPingOut: 2,
    noAsyncTraces: true,
  };
}

/** What to tell of a failed attempt. The library's messages name servers and reasons, never what we sent. */
function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : 'connection refused';
}
