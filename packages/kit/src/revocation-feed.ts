import type { JsMsg } from '@nats-io/jetstream';
import type { NatsConnection, Subscription } from '@nats-io/nats-core';
import type { Bus } from './bus.ts';
import { FeedFreshness, Lateness, readHeartbeat } from './feed-freshness.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import { RevocationStreamMissing, readRevocations } from './revocation-stream.ts';
import { type RevocationEntry, Revocations, readEntry } from './revocations.ts';
import { heartbeatSubject } from './streams.ts';

/** What has been revoked lately, in memory, so that no request pays a database read for asking. */
export interface RevocationFeed {
  /**
   * Whether a missing entry means "not revoked". False until the backlog is read, and whenever heartbeats or entries
   * fail to come: then only the database knows.
   */
  fresh(): boolean;
  /** Whether the session is known to have ended. True is always to be believed, false only while `fresh`. */
  revoked(sid: string): boolean;
  /** Whether the signing key was withdrawn; whatever it signed is refused. */
  keyRevoked(kid: string): boolean;
  /** Calls `listener` when a key is heard to have been withdrawn that was not known to be. */
  onKeyRevoked(listener: () => void): void;
  /** Roles that replace those of the user's tokens; undefined when they have not changed lately. */
  rolesOf(userId: string): readonly string[] | undefined;
  /** What this process has just committed counts here at once; the others learn it from the stream. */
  markLocally(entry: RevocationEntry): void;
  /** Begins to follow the stream and returns; the bus may come at any time. */
  start(): Promise<void>;
  close(): Promise<void>;
}

/** What the feed needs. */
export interface RevocationFeedOptions {
  readonly bus: Pick<Bus, 'onUp' | 'onDown' | 'repair'>;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Label of the metric. */
  readonly service: string;
  /** How long after a heartbeat the feed still counts as complete. */
  readonly staleAfterMs?: number;
}

const TICK_MS = 250;
const STUCK_AFTER_MS = 3000;
const RETRY_MS = 250;
/** What an entry that nobody here can read may be about lives at most this long (ACCESS_TOKEN_TTL_SECONDS' limit). */
const UNREADABLE_SECONDS = 86_400;
/** A start within this time is no stale episode worth a line. */
const START_MS = 5000;

/** Follows the revocation stream (contract §4). Tested in revocation-feed.test.ts on a real server. */
export function createRevocationFeed(options: RevocationFeedOptions): RevocationFeed {
  const { log, metrics, service, staleAfterMs = 750 } = options;
  const revocations = new Revocations();
  const lateness = new Lateness();
  const keyListeners: (() => void)[] = [];
  let freshness: FeedFreshness | undefined;
  let distrustUntil = 0;
  let follower: Follower | undefined;
  let timer: NodeJS.Timeout | undefined;

  const now = () => performance.now();
  const fresh = () => freshness?.fresh(now()) === true && distrustUntil <= Date.now();
  const begin = () => {
    freshness = new FeedFreshness({ staleAfterMs, lateness, now: now() });
    return freshness;
  };

  function take(message: JsMsg): void {
    const value = parse(message);
    const entry = readEntry(value);
    if (entry !== undefined) {
      const news = 'kids' in entry && entry.kids.some((kid) => !revocations.keyRevoked(kid));
      revocations.take(entry);
      if (news) for (const listener of keyListeners) listener();
      return;
    }
    // Written by a newer version, perhaps: it revokes something, and we cannot tell what. The database can.
    const latest = Date.now() / 1000 + UNREADABLE_SECONDS;
    distrustUntil = Math.max(distrustUntil, Math.min(untilOf(value) ?? latest, latest) * 1000);
    log.error(
      { seq: message.seq },
      'revocation entry cannot be read, asking the database until it has expired',
    );
  }

  const watch = watchEpisodes(log, (stale) => metrics.feedStale.set({ service }, stale ? 1 : 0));

  function tick(): void {
    revocations.expire();
    watch(fresh());
    if (freshness?.stuck(now(), STUCK_AFTER_MS)) follower?.again('stuck');
  }

  return {
    fresh,
    revoked: (sid) => revocations.revoked(sid),
    keyRevoked: (kid) => revocations.keyRevoked(kid),
    onKeyRevoked: (listener) => void keyListeners.push(listener),
    rolesOf: (userId) => revocations.rolesOf(userId),
    markLocally: (entry) => revocations.take(entry),
    async start() {
      metrics.feedStale.set({ service }, 1);
      timer = setInterval(tick, TICK_MS).unref();
      const lost = () => {
        freshness = undefined;
      };
      follower = follow({ bus: options.bus, begin, lost, take, log });
    },
    async close() {
      clearInterval(timer);
      follower?.stop();
    },
  };
}

interface Follower {
  /** Reads the stream from its start again. */
  again(reason: string): void;
  stop(): void;
}

interface FollowerOptions {
  readonly bus: RevocationFeedOptions['bus'];
  /** A new reading begins: nothing is known of the stream. */
  readonly begin: () => FeedFreshness;
  readonly lost: () => void;
  readonly take: (message: JsMsg) => void;
  readonly log: Log;
}

/** Keeps one reading of the stream going for as long as the bus is up, and starts over after every doubt. */
function follow({ bus, begin, lost, take, log }: FollowerOptions): Follower {
  let connection: NatsConnection | undefined;
  let heartbeats: Subscription | undefined;
  let freshness: FeedFreshness | undefined;
  let stopReading: (() => void) | undefined;
  let timer: NodeJS.Timeout | undefined;
  let attempt = 0;

  function leave(): void {
    attempt += 1;
    clearTimeout(timer);
    stopReading?.();
    stopReading = undefined;
    freshness = undefined;
    lost();
  }

  function again(reason: string): void {
    log.debug({ reason }, 'reading the revocation stream again');
    leave();
    timer = setTimeout(() => void read(), RETRY_MS).unref();
  }

  async function read(): Promise<void> {
    leave();
    const mine = attempt;
    const nc = connection;
    if (nc === undefined) return;
    const current = begin();
    freshness = current;
    try {
      const stop = await readRevocations(nc, {
        entry: take,
        reached: (seq) => current.reached(seq, performance.now()),
        ended: (reason) => {
          if (mine === attempt) again(reason);
        },
      });
      if (mine === attempt) stopReading = stop;
      else stop();
    } catch (error) {
      if (mine !== attempt) return;
      again(error instanceof Error ? error.message : 'failed');
      if (error instanceof RevocationStreamMissing) bus.repair();
    }
  }

  function listen(nc: NatsConnection): void {
    heartbeats?.unsubscribe();
    heartbeats = nc.subscribe(heartbeatSubject, {
      callback(error, message) {
        const heartbeat = error === null ? readHeartbeat(message.string()) : undefined;
        if (heartbeat === undefined || freshness === undefined) return;
        if (freshness.heartbeat(heartbeat, performance.now()) === 'backwards') again('stream went backwards');
      },
    });
  }

  const forgetUp = bus.onUp((nc) => {
    // Subscriptions outlive a short loss of the server, the reading does not: its store may be another one.
    if (nc !== connection) listen(nc);
    connection = nc;
    void read();
  });
  const forgetDown = bus.onDown(leave);

  return {
    again,
    stop() {
      forgetUp();
      forgetDown();
      leave();
      if (connection?.isClosed() === false) heartbeats?.unsubscribe();
    },
  };
}

/** One line for each time the feed becomes stale or fresh, and the metric with it. */
function watchEpisodes(log: Log, measure: (stale: boolean) => void): (fresh: boolean) => void {
  const begun = performance.now();
  let said: boolean | undefined;
  return (fresh) => {
    measure(!fresh);
    if (fresh === said || (said === undefined && !fresh && performance.now() - begun < START_MS)) return;
    said = fresh;
    if (fresh) log.info('revocation feed is fresh');
    else log.warn('revocation feed is stale, asking the database for each request');
  };
}

function parse(message: JsMsg): unknown {
  try {
    return JSON.parse(message.string());
  } catch {
    return undefined;
  }
}

function untilOf(value: unknown): number | undefined {
  if (typeof value !== 'object' || value === null || !('until' in value)) return undefined;
  return typeof value.until === 'number' && Number.isFinite(value.until) ? value.until : undefined;
}
