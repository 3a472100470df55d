import { setTimeout as delay } from 'node:timers/promises';
import { busInboxPrefix } from '@gatehouse/nats-claims';
import { jetstreamManager } from '@nats-io/jetstream';
import { type ConnectionOptions, connect, type NatsConnection } from '@nats-io/transport-node';
import { type BusLogin, credsLogin, urlLogin } from './bus-login.ts';
import { LOOK_AGAIN_MS, type NoteCertificate, noteSocket } from './certificates.ts';
import type { Log } from './log.ts';
import {
  API_TIMEOUT_MS,
  awaitStreams,
  ensureStreams,
  type eventStream,
  type Incarnations,
  type revocationStream,
  type StreamOptions,
} from './streams.ts';

export { eventStream, heartbeatSubject, revocationStream, revocationSubject } from './streams.ts';

/** The bus is not connected, or its streams are not in place yet; it is being tried for. */
export class BusDown extends Error {
  constructor(options?: ErrorOptions) {
    super('nats is not connected', options);
    this.name = 'BusDown';
  }
}

/** The connection to NATS of one process, shared by its services. */
export interface Bus {
  /** Connected, and the streams are in place. */
  readonly up: boolean;
  /** Seconds that the revocation stream keeps its entries. */
  readonly revocationsMaxAgeSeconds: number;
  /** The connection while there is one: it outlives short losses of the server, and may be another after long ones. */
  nc(): NatsConnection | undefined;
  /** When the stream in use was made (RFC 3339, the server's clock); undefined before it was ever seen. */
  createdAt(stream: typeof eventStream | typeof revocationStream): string | undefined;
  /** Round trip to the server in milliseconds. @throws BusDown */
  ping(): Promise<number>;
  /**
   * Calls `listener` each time the bus comes up (at once when it is up), after the streams are in place.
   * Subscriptions of the connection survive short losses: compare `nc` with the last one. Returns the way to stop it.
   */
  onUp(listener: (nc: NatsConnection) => void): () => void;
  /** Calls `listener` each time the bus goes down. Returns the way to stop it. */
  onDown(listener: () => void): () => void;
  /** Looks after the streams again: somebody found one missing. Down until they are there, then up again. */
  repair(): void;
  /** Hands over what is still to be sent (for at most a second), then closes for good. */
  close(): Promise<void>;
}

/** How to reach NATS. */
export interface BusOptions extends Partial<StreamOptions> {
  /** One or more comma-separated URLs; user and password (or a token) in the first one's userinfo. */
  readonly url: string;
  /** The process (a service, or `all-in-one`): names its inbox, its credentials, and it in the server's list. */
  readonly name: string;
  /** A `.creds` file, or a folder with one a process; goes before what the URL says. */
  readonly creds?: string | undefined;
  /** Whether it makes the streams and brings them up to date (default), or waits until another has. */
  readonly managesStreams?: boolean;
  readonly log: Log;
  /** Hears of every change; `reason` never holds credentials. */
  readonly onState?: (up: boolean, reason?: string) => void;
  /** Hears of the certificate that the server shows, if it speaks TLS. */
  readonly onCertificate?: NoteCertificate;
}

const CONNECT_TIMEOUT_MS = 2_000;
const BACKOFF_MAX_MS = 2_000;
const PING_TIMEOUT_MS = 2_000;

/**
 * Connects in the background and for ever: a service starts and serves while NATS is away. At each (re)connection the
 * streams are made or brought up to date, so that losing the whole JetStream store heals by itself.
 */
export function connectBus(options: BusOptions): Bus {
  return new Connected(options);
}

class Connected implements Bus {
  readonly #options: BusOptions;
  readonly #streams: StreamOptions;
  readonly #login: BusLogin;
  readonly #closing = new AbortController();
  readonly #upListeners = new Set<(nc: NatsConnection) => void>();
  readonly #downListeners = new Set<() => void>();
  readonly #living: Promise<void>;
  #connection: NatsConnection | undefined;
  #incarnations: Incarnations = {};
  #up = false;
  #complained = false;
  #looksAgain: NodeJS.Timeout | undefined;
  // Each loss of the connection or the streams begins a new round; what an older round finds out no longer counts.
  #round = 0;

  constructor(options: BusOptions) {
    this.#options = options;
    const { creds, name, log } = options;
    this.#login = creds === undefined ? urlLogin(urlsOf(options.url)[0]) : credsLogin(creds, name, log);
    this.#streams = {
      replicas: options.replicas ?? 1,
      eventsMaxAgeSeconds: options.eventsMaxAgeSeconds ?? 7 * 86_400,
      revocationsMaxAgeSeconds: options.revocationsMaxAgeSeconds ?? 1_200,
    };
    this.#living = this.#live();
  }

  get up(): boolean {
    return this.#up;
  }

  get revocationsMaxAgeSeconds(): number {
    return this.#streams.revocationsMaxAgeSeconds;
  }

  nc(): NatsConnection | undefined {
    return this.#connection;
  }

  createdAt(stream: typeof eventStream | typeof revocationStream): string | undefined {
    return this.#incarnations[stream];
  }

  async ping(): Promise<number> {
    const nc = this.#connection;
    if (!this.#up || nc === undefined) throw new BusDown();
    const late = delay(PING_TIMEOUT_MS, undefined, { ref: false }).then(() => Promise.reject(new BusDown()));
    const begun = performance.now();
    await Promise.race([nc.flush(), late]).catch((cause: unknown) => Promise.reject(new BusDown({ cause })));
    return performance.now() - begun;
  }

  onUp(listener: (nc: NatsConnection) => void): () => void {
    this.#upListeners.add(listener);
    if (this.#up && this.#connection !== undefined) listener(this.#connection);
    return () => this.#upListeners.delete(listener);
  }

  onDown(listener: () => void): () => void {
    this.#downListeners.add(listener);
    return () => this.#downListeners.delete(listener);
  }

  repair(): void {
    if (!this.#up || this.#connection === undefined) return;
    this.#goDown('a stream is missing');
    void this.#settle(this.#connection);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    clearInterval(this.#looksAgain);
    const nc = this.#connection;
    if (nc !== undefined && !nc.isClosed()) {
      const drained = this.#up ? nc.drain().catch(() => {}) : Promise.resolve();
      await Promise.race([drained, delay(1_000, undefined, { ref: false })]);
      await nc.close();
    }
    this.#up = false;
    await this.#living;
  }

  async #live(): Promise<void> {
    for (let attempt = 0; !this.#closing.signal.aborted; attempt += 1) {
      try {
        this.#login.check();
        const nc = await connect(connectionOptions(this.#options, this.#login));
        this.#connection = nc;
        attempt = 0;
        if (this.#closing.signal.aborted) break;
        this.#noteCertificate(nc);
        void this.#watch(nc);
        void this.#settle(nc);
        await nc.closed();
        this.#goDown('closed');
      } catch (error) {
        this.#complain(error);
      }
      await this.#pause(attempt);
    }
    await this.#connection?.close();
  }

  async #watch(nc: NatsConnection): Promise<void> {
    for await (const status of nc.status()) {
      if (status.type === 'disconnect') this.#goDown('disconnected');
      else if (status.type === 'reconnect') {
        this.#noteCertificate(nc);
        void this.#settle(nc);
      } else if (status.type === 'error')
        this.#options.log.warn({ err: status.error }, 'nats reported an error');
    }
  }

  #noteCertificate(nc: NatsConnection): void {
    const { onCertificate } = this.#options;
    if (onCertificate === undefined || !noteNatsCertificate(nc, onCertificate)) return;
    this.#looksAgain ??= setInterval(() => void this.#lookAgain(onCertificate), LOOK_AGAIN_MS).unref();
  }

  /** By a connection that lives for the handshake only. One that fails says nothing that the other would not say. */
  async #lookAgain(note: NoteCertificate): Promise<void> {
    const options = { ...connectionOptions(this.#options, this.#login), reconnect: false };
    try {
      const nc = await connect({ ...options, name: `${options.name}-certificate` });
      noteNatsCertificate(nc, note);
      await nc.close();
    } catch (err) {
      this.#options.log.debug({ err }, 'the certificate of nats cannot be looked at');
    }
  }

  /** Puts the streams in place, as long as it takes. */
  async #settle(nc: NatsConnection): Promise<void> {
    const round = this.#round;
    const stale = () => round !== this.#round || this.#closing.signal.aborted || nc.isClosed();
    for (let attempt = 0; !stale(); attempt += 1) {
      try {
        const jsm = await jetstreamManager(nc, { checkAPI: false, timeout: API_TIMEOUT_MS });
        const { managesStreams = true } = this.#options;
        const found = await (managesStreams ? ensureStreams(jsm, this.#streams) : awaitStreams(jsm));
        if (stale()) return;
        this.#incarnations = found;
        this.#goUp(nc);
        return;
      } catch (error) {
        if (stale()) return;
        this.#complain(error);
        await this.#pause(attempt);
      }
    }
  }

  #goUp(nc: NatsConnection): void {
    this.#up = true;
    this.#complained = false;
    this.#options.log.info('nats is up');
    this.#options.onState?.(true);
    for (const listener of this.#upListeners) listener(nc);
  }

  #goDown(reason: string): void {
    this.#round += 1;
    if (!this.#up) return;
    this.#up = false;
    if (!this.#closing.signal.aborted) this.#options.log.warn({ reason }, 'nats is down');
    this.#options.onState?.(false, reason);
    for (const listener of this.#downListeners) listener();
  }

  /** Once a loss: the retries that follow would fill the log. */
  #complain(err: unknown): void {
    if (!this.#complained && !this.#closing.signal.aborted)
      this.#options.log.warn({ err }, 'nats is not available');
    this.#complained = true;
  }

  async #pause(attempt: number): Promise<void> {
    const { signal } = this.#closing;
    await delay(backoff(attempt), undefined, { signal, ref: false }).catch(() => {});
  }
}

/** Notes what the server of a connection has shown; whether it spoke TLS. The library has the socket, not its types. */
export function noteNatsCertificate(nc: NatsConnection, note: NoteCertificate): boolean {
  const { protocol } = nc as { protocol?: { transport?: { socket?: unknown } } };
  return noteSocket(note, nc.getServer(), protocol?.transport?.socket);
}

// Half of it by chance, so that a fleet does not come back in step.
function backoff(attempt: number): number {
  const most = Math.min(BACKOFF_MAX_MS, 50 * 2 ** Math.min(attempt, 10));
  return most / 2 + Math.random() * (most / 2);
}

/** The addresses of a setting. At least one: a setting without any does not come this far. */
function urlsOf(text: string): [URL, ...URL[]] {
  const urls = text
    .split(',')
    .map((one) => new URL(one.includes('://') ? one.trim() : `nats://${one.trim()}`));
  return urls as [URL, ...URL[]];
}

/** The options of one connection. */
function connectionOptions({ url, name }: BusOptions, login: BusLogin): ConnectionOptions {
  const urls = urlsOf(url);
  const secured = urls.some(({ protocol }) => protocol === 'tls:');
  let losses = 0;
  return {
    servers: urls.map(({ host }) => host),
    name: `gatehouse-${name}`,
    inboxPrefix: busInboxPrefix(name),
    ...(secured ? { tls: {} } : {}),
    ...login.options,
    timeout: CONNECT_TIMEOUT_MS,
    maxReconnectAttempts: -1,
    reconnectDelayHandler: () => {
      losses += 1;
      return backoff(losses % 6);
    },
    // A password being rotated must not end the process' connection for good.
    ignoreAuthErrorAbort: true,
    pingInterval: 5_000,
    maxPingOut: 2,
    // Otherwise each request pays for a stack trace that nobody reads.
    noAsyncTraces: true,
  };
}
