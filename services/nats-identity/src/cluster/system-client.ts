import { noteCertificate, noteNatsCertificate } from '@gatehouse/kit';
import type { Msg, NatsConnection, Subscription } from '@nats-io/nats-core';
import { PermissionViolationError } from '@nats-io/nats-core';
import type { NatsIdentityBase } from '../context.ts';
import { ClusterUnreachable, openConnection } from './connection.ts';
import { type Login, openLogin, type Purpose } from './connection-login.ts';
import { type ClusterServer, readServers } from './system-client-servers.ts';

export { ClusterUnreachable } from './connection.ts';
export type { Purpose } from './connection-login.ts';
export type { ClusterServer } from './system-client-servers.ts';

/** One server's answer to a question on the system account. */
export interface SystemReply {
  /** Who answered; undefined where the protocol does not say it (`CLAIMS.LOOKUP`, `CLAIMS.PACK`). */
  readonly server: { readonly name: string; readonly id: string } | undefined;
  /** The answer when it is JSON: the whole object, `server` with it. */
  readonly json: Readonly<Record<string, unknown>> | undefined;
  /** Its `data` member. */
  readonly data: unknown;
  /** The server refused, in its words. Such an answer is a failure, whatever else it says. */
  readonly error: string | undefined;
  readonly raw: Uint8Array;
}

/** All that answered one question. */
export interface SystemReplies {
  readonly replies: readonly SystemReply[];
  /** Whether as many answered as were expected; false: the time was over. */
  readonly complete: boolean;
  /** Nobody listens to the subject at all. */
  readonly noResponders: boolean;
}

/** How many answers end a question early, and how long it waits at most. */
export interface RequestOptions {
  /** Answers to wait for. Without it all that come until the time is over are collected. */
  readonly expect?: number;
  /** NATS_REPLY_TIMEOUT_MS unless given. */
  readonly timeoutMs?: number;
  /** Ends the question early: asked after each answer with all so far. */
  readonly until?: (replies: readonly SystemReply[]) => boolean;
  /** How long after the last answer it is over before the time is; asked after each answer, undefined: it is not. */
  readonly stallMs?: () => number | undefined;
}

/** A connection to a cluster as a user of its system account. */
export interface SystemClient {
  readonly clusterId: string;
  /** The connection, for subscriptions (`watch`). */
  readonly nc: NatsConnection;
  /**
   * Asks every server and collects their answers: one answer is not the cluster. Sends no headers, which servers before
   * 2.12.1 do not take with UPDATE and DELETE.
   * @throws PayloadTooLarge before sending; NotPermitted; ClusterUnreachable when the connection is lost
   */
  requestAll(
    subject: string,
    payload?: string | Uint8Array,
    options?: RequestOptions,
  ): Promise<SystemReplies>;
  /** Who is there: every server that answers PING. `known`: ids that ought to answer. */
  servers(known?: Iterable<string>): Promise<ClusterServer[]>;
  /** How long answers about a JWT of that many bytes are waited for. */
  timeoutFor(jwtBytes: number): number;
  /** Most bytes that a server takes in one message. */
  readonly maxPayload: number;
  readonly connected: boolean;
  /** How often it has connected. After each time other servers may answer, or the same ones with other trust. */
  readonly connections: number;
  close(): Promise<void>;
}

/** What is to be sent is larger than the servers take. */
export class PayloadTooLarge extends Error {
  override readonly name = 'PayloadTooLarge';
}

/** The user that we connect as may not ask this. */
export class NotPermitted extends Error {
  override readonly name = 'NotPermitted';
}

/**
 * Connects to a registered cluster; the caller closes it. `purpose` bounds what it may do; pushing unless given.
 * @throws ClusterUnreachable
 */
export async function openSystemClient(
  ctx: NatsIdentityBase,
  clusterId: string,
  purpose: Purpose = 'push',
): Promise<SystemClient> {
  const cluster = await ctx.db
    .selectFrom('cluster')
    .select(['operator_id', 'secret_id', 'servers'])
    .where('id', '=', clusterId)
    .executeTakeFirst();
  if (cluster === undefined) throw new ClusterUnreachable('the cluster is not registered');
  const login = await openLogin(ctx, cluster, purpose);
  const nc = await openConnection(cluster.servers, login, `gatehouse-${purpose}`);
  return new Client(ctx, clusterId, { nc, login });
}

interface Collecting {
  readonly subject: string;
  readonly replies: SystemReply[];
  readonly options: RequestOptions;
  readonly timer: NodeJS.Timeout;
  stall: NodeJS.Timeout | undefined;
  readonly settle: (outcome: SystemReplies | Error) => void;
}

/** Half of its life is left when a login is made anew: a database that is away for minutes does no harm. */
const RENEWAL_CHECK_MS = 30_000;

class Client implements SystemClient {
  readonly clusterId: string;
  readonly nc: NatsConnection;
  readonly #ctx: NatsIdentityBase;
  readonly #login: Login;
  readonly #inbox: Subscription;
  readonly #collecting = new Map<string, Collecting>();
  readonly #renewal: NodeJS.Timeout;
  #connected = true;
  #connections = 1;
  #sequence = 0;
  #renewing = false;
  #stale = false;

  constructor(
    ctx: NatsIdentityBase,
    clusterId: string,
    { nc, login }: { readonly nc: NatsConnection; readonly login: Login },
  ) {
    this.#ctx = ctx;
    this.clusterId = clusterId;
    this.nc = nc;
    this.#login = login;
    // One subscription for all questions: one each would cost every server of the cluster an interest and its end.
    this.#inbox = nc.subscribe(`${login.inboxPrefix}.*`, { callback: (_error, msg) => this.#heard(msg) });
    this.#renewal = setInterval(() => void this.#renew(), RENEWAL_CHECK_MS).unref();
    this.#noteCertificate();
    void this.#watch();
  }

  get maxPayload(): number {
    return this.nc.info?.max_payload ?? 1024 * 1024;
  }

  // Validation takes time that grows faster than the claims: three seconds at half a megabyte (nats-protocol, b.2).
  timeoutFor(jwtBytes: number): number {
    return Math.ceil(this.#ctx.config.NATS_REPLY_TIMEOUT_MS * (1 + jwtBytes / 100_000));
  }

  get connected(): boolean {
    return this.#connected && !this.nc.isClosed();
  }

  get connections(): number {
    return this.#connections;
  }

  async requestAll(
    subject: string,
    payload: string | Uint8Array = '',
    options: RequestOptions = {},
  ): Promise<SystemReplies> {
    if (!this.connected) throw new ClusterUnreachable('the connection to the cluster is lost');
    const size = Buffer.byteLength(payload);
    if (size > this.maxPayload)
      throw new PayloadTooLarge(`${size} bytes; the servers take ${this.maxPayload} in one message`);
    if (options.expect === 0) return { replies: [], complete: true, noResponders: false };
    this.#sequence += 1;
    const token = this.#sequence.toString(36);
    return new Promise((resolve, reject) => {
      const settle = (outcome: SystemReplies | Error) => {
        const mine = this.#collecting.get(token);
        if (mine === undefined) return;
        this.#collecting.delete(token);
        clearTimeout(mine.timer);
        clearTimeout(mine.stall);
        if (outcome instanceof Error) reject(outcome);
        else resolve(outcome);
      };
      const replies: SystemReply[] = [];
      const over = () => settle({ replies, complete: false, noResponders: false });
      const timer = setTimeout(over, options.timeoutMs ?? this.#ctx.config.NATS_REPLY_TIMEOUT_MS);
      this.#collecting.set(token, { subject, replies, options, timer, stall: undefined, settle });
      try {
        this.nc.publish(subject, payload, { reply: `${this.#login.inboxPrefix}.${token}` });
      } catch (cause) {
        settle(new ClusterUnreachable('the connection to the cluster is lost', { cause }));
      }
    });
  }

  servers(known: Iterable<string> = []): Promise<ClusterServer[]> {
    return readServers(this, known);
  }

  async close(): Promise<void> {
    clearInterval(this.#renewal);
    this.#inbox.unsubscribe();
    await this.nc.close();
    this.#fail(() => new ClusterUnreachable('the connection to the cluster was closed'));
  }

  #heard(msg: Msg): void {
    const token = msg.subject.slice(this.#login.inboxPrefix.length + 1);
    const mine = this.#collecting.get(token);
    if (mine === undefined) return;
    const { replies, options, settle } = mine;
    const ends = (complete: boolean, noResponders = false) => settle({ replies, complete, noResponders });
    if (msg.data.length === 0 && msg.headers?.code === 503) {
      ends(false, true);
      return;
    }
    replies.push(replyOf(msg.data));
    if (replies.length === options.expect || options.until?.(replies) === true) ends(true);
    else {
      const stallMs = options.stallMs?.();
      clearTimeout(mine.stall);
      if (stallMs !== undefined) mine.stall = setTimeout(() => ends(false), stallMs);
    }
  }

  async #watch(): Promise<void> {
    for await (const status of this.nc.status()) {
      if (status.type === 'disconnect') {
        this.#connected = false;
        this.#fail(() => new ClusterUnreachable('the connection to the cluster is lost'));
        // The reason may be that the login ended or that its signer was taken away.
        if (this.#login.renewable) void this.#renewNow();
      } else if (status.type === 'reconnect') {
        this.#connected = true;
        this.#connections += 1;
        this.#noteCertificate();
      } else if (status.type === 'error' && status.error instanceof PermissionViolationError)
        this.#refused(status.error);
    }
  }

  // A login lives for an hour: with it the connection is made anew, and the certificate is seen again.
  #noteCertificate(): void {
    const { metrics } = this.#ctx;
    noteNatsCertificate(this.nc, noteCertificate(metrics, { service: 'nats-identity', dep: 'cluster' }));
  }

  /** A server says which subject it refused, not which question: all questions on it are. */
  #refused({ operation, subject }: PermissionViolationError): void {
    this.#ctx.log.warn({ cluster: this.clusterId, operation, subject }, 'nats system user lacks a right');
    for (const { subject: asked, settle } of this.#collecting.values())
      if (operation === 'subscription' || asked === subject)
        settle(
          new NotPermitted(`the system user may not ${operation === 'publish' ? 'ask' : 'hear'} ${subject}`),
        );
  }

  #fail(error: () => Error): void {
    for (const { settle } of this.#collecting.values()) settle(error());
  }

  /** Takes up a new login before the old one ends, at a moment when no answer is waited for. */
  async #renew(): Promise<void> {
    const end = this.#login.expiresAt();
    if (end !== undefined && end - Date.now() < LOGIN_RENEWAL_MS && !this.#stale) await this.#renewNow();
    if (!this.#stale || this.#collecting.size > 0 || !this.connected) return;
    this.#stale = false;
    await this.nc.reconnect().catch(() => {});
  }

  async #renewNow(): Promise<void> {
    if (this.#renewing) return;
    this.#renewing = true;
    try {
      await this.#login.renew();
      this.#stale = this.connected;
    } catch (err) {
      this.#ctx.log.warn({ err, cluster: this.clusterId }, 'nats system login could not be renewed');
    } finally {
      this.#renewing = false;
    }
  }
}

const LOGIN_RENEWAL_MS = 30 * 60_000;
const BRACE = '{'.charCodeAt(0);

function replyOf(raw: Uint8Array): SystemReply {
  if (raw[0] !== BRACE) return { server: undefined, json: undefined, data: undefined, error: undefined, raw };
  let json: Record<string, unknown>;
  try {
    json = JSON.parse(Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength).toString('utf8'));
  } catch {
    return { server: undefined, json: undefined, data: undefined, error: 'an answer that is not JSON', raw };
  }
  const server = json.server as { name?: unknown; id?: unknown } | undefined | null;
  const error = json.error as { description?: unknown; code?: unknown } | undefined | null;
  return {
    server: server ? { name: readable(server.name), id: readable(server.id) } : undefined,
    json,
    data: json.data,
    error: error ? readable(error.description ?? error.code ?? 'refused') : undefined,
    raw,
  };
}

/** What a server says, fit for the database, a log and a terminal. */
const readable = (value: unknown): string => String(value).slice(0, 300).replace(/\p{C}/gu, '?');
