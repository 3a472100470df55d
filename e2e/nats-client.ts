import { readFileSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { eventually } from '@gatehouse/kit/testing';
import {
  connect,
  credsAuthenticator,
  type NatsConnection,
  PermissionViolationError,
} from '@nats-io/transport-node';
import type { Platform } from './platform.ts';

/** Somebody connected to the platform's own bus. */
export interface BusClient {
  readonly nc: NatsConnection;
  /** Whether the server refuses to take a message on the subject. */
  mayPublish(subject: string): Promise<boolean>;
  /** Whether the server refuses to deliver the subject. */
  mayListen(subject: string): Promise<boolean>;
  close(): Promise<void>;
}

/** Connects with the text of a `.creds` file. @throws what the server says when it refuses */
export async function connectWith(
  platform: Platform,
  creds: string,
  inboxPrefix = '_INBOX',
): Promise<BusClient> {
  const nc = await connect({
    servers: new URL(platform.nats.url).host,
    authenticator: credsAuthenticator(new TextEncoder().encode(creds)),
    inboxPrefix,
    // Of a cluster the others would be tried as well, for ever, instead of telling the refusal of this one.
    ignoreClusterUpdates: true,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 50,
    ignoreAuthErrorAbort: true,
  });
  const refused = new Set<string>();
  void (async () => {
    for await (const status of nc.status())
      if (status.type === 'error' && status.error instanceof PermissionViolationError)
        refused.add(`${status.error.operation} ${status.error.subject}`);
  })();
  // The server answers in order: after a round trip its refusal has come, and after a turn we have read of it.
  const told = async (what: string) => {
    await nc.flush();
    await turn();
    return !refused.has(what);
  };
  return {
    nc,
    mayPublish(subject) {
      nc.publish(subject, '{}');
      return told(`publish ${subject}`);
    },
    async mayListen(subject) {
      const subscription = nc.subscribe(subject, { callback: () => {} });
      const may = await told(`subscription ${subject}`);
      if (may) subscription.unsubscribe();
      return may;
    },
    close: () => nc.close(),
  };
}

/** Connects as a service, with the credentials that its process has. */
export const connectAs = (platform: Platform, service: string): Promise<BusClient> =>
  connectWith(platform, readFileSync(platform.nats.credsOf(service), 'utf8'), `_INBOX_${service}`);

/** Connects as soon as the servers know the account. */
export const connectSoon = (platform: Platform, creds: string): Promise<BusClient> =>
  eventually(() => connectWith(platform, creds), 60_000);
