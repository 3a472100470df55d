import { type JetStreamManager, jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { connect } from '@nats-io/transport-node';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Bus, connectBus } from './bus.ts';
import { createMetrics } from './metrics.ts';
import { createRevocationFeed, type RevocationFeed } from './revocation-feed.ts';
import { ensureStreams, heartbeatSubject, revocationStream, revocationSubject } from './streams.ts';
import { eventually, type TestNats, testNats } from './testing.ts';

const BEAT_MS = 50;
const STALE_AFTER_MS = 300;
const until = Math.floor(Date.now() / 1000) + 900;

let nats: TestNats;
let nc: NatsConnection;
let manager: JetStreamManager;
let beats: NodeJS.Timeout | undefined;
const endings: (() => Promise<void>)[] = [];

beforeAll(async () => {
  nats = await testNats();
  nc = await connectTo(nats);
  manager = await jetstreamManager(nc);
});
afterAll(async () => {
  await nc?.close();
  await nats?.close();
});
beforeEach(makeStream);
afterEach(async () => {
  stopBeating();
  for (const end of endings.splice(0)) await end();
  await manager.streams.delete(revocationStream).catch(() => {});
});

const connectTo = ({ url }: TestNats) => {
  const { username, password, host } = new URL(url);
  const login = { user: decodeURIComponent(username), pass: decodeURIComponent(password) };
  return connect({
    servers: host,
    ...login,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 20,
    reconnectJitter: 0,
  });
};

async function makeStream(): Promise<void> {
  await ensureStreams(manager, {
    replicas: 1,
    eventsMaxAgeSeconds: 7 * 86_400,
    revocationsMaxAgeSeconds: 1_200,
  });
}

/** Publishes as the relay of the token service does; the sequence it got. */
async function publish(entry: unknown): Promise<number> {
  return (await jetstream(nc).publish(revocationSubject, JSON.stringify(entry))).seq;
}

const beat = (seq: number) => nc.publish(heartbeatSubject, JSON.stringify({ seq, at: Date.now() }));

/** Heartbeats that name the end of the stream, until `stopBeating`. */
function startBeating(): void {
  stopBeating();
  let busy = false;
  beats = setInterval(async () => {
    if (busy) return;
    busy = true;
    const info = await manager.streams.info(revocationStream).catch(() => undefined);
    if (info !== undefined && beats !== undefined) beat(info.state.last_seq);
    busy = false;
  }, BEAT_MS);
}

function stopBeating(): void {
  clearInterval(beats);
  beats = undefined;
}

interface Followed {
  readonly feed: RevocationFeed;
  readonly lines: string[];
  readonly bus: Bus;
}

async function follow(): Promise<Followed> {
  const lines: string[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => lines.push(JSON.parse(line).msg) });
  const bus = connectBus({ url: nats.url, name: 'feed-test', log: pino({ level: 'silent' }) });
  const feed = createRevocationFeed({
    bus,
    log,
    metrics: createMetrics({ runtime: false }),
    service: 'test',
    staleAfterMs: STALE_AFTER_MS,
  });
  await feed.start();
  endings.push(async () => {
    await feed.close();
    await bus.close();
  });
  return { feed, lines, bus };
}

async function followFresh(): Promise<Followed> {
  startBeating();
  const followed = await follow();
  await eventually(() => followed.feed.fresh());
  return followed;
}

describe('revocation feed', () => {
  test('knows what was revoked before it started, and what is revoked while it follows', async () => {
    await publish({ sids: ['early'], until });
    await publish({ user_id: 'u', roles: ['USER'], version: 2, until });
    const { feed } = await followFresh();
    expect(feed.revoked('early')).toBe(true);
    expect(feed.rolesOf('u')).toEqual(['USER']);
    expect(feed.revoked('late')).toBe(false);
    await publish({ sids: ['late', 'later'], until });
    await eventually(() => feed.revoked('late') && feed.revoked('later'));
    expect(feed.fresh()).toBe(true);
  });

  test('is never fresh without a heartbeat', async () => {
    await publish({ sids: ['early'], until });
    const { feed } = await follow();
    await eventually(() => feed.revoked('early'));
    expect(feed.fresh()).toBe(false);
  });

  test('is not fresh while a heartbeat speaks of an entry that it has not seen', async () => {
    const { feed } = await follow();
    let sent = 0;
    beats = setInterval(() => {
      beat(1);
      sent += 1;
    }, BEAT_MS);
    await eventually(() => sent > 4);
    expect(feed.fresh()).toBe(false);
    await publish({ sids: ['one'], until });
    await eventually(() => feed.fresh());
    expect(feed.revoked('one')).toBe(true);
  });

  test('has read a long backlog before it is fresh', async () => {
    for (let batch = 0; batch < 30; batch += 1) {
      const some = Array.from({ length: 100 }, (_, n) => publish({ sids: [`${batch}-${n}`], until }));
      await Promise.all(some);
    }
    startBeating();
    const { feed } = await follow();
    await eventually(() => feed.fresh());
    for (let batch = 0; batch < 30; batch += 1) expect(feed.revoked(`${batch}-99`)).toBe(true);
  });

  test('what this process revoked counts here at once, even before the bus is there', async () => {
    const bus = connectBus({ url: 'nats://127.0.0.1:1', name: 'feed-test', log: pino({ level: 'silent' }) });
    const feed = createRevocationFeed({
      bus,
      log: pino({ level: 'silent' }),
      metrics: createMetrics({ runtime: false }),
      service: 'test',
    });
    await feed.start();
    feed.markLocally({ sids: ['mine'], until });
    expect(feed.revoked('mine')).toBe(true);
    expect(feed.fresh()).toBe(false);
    await feed.close();
    await bus.close();
  });

  test('is stale when heartbeats fail to come, fresh with the next one, and says so once each time', async () => {
    const { feed, lines } = await followFresh();
    await eventually(() => lines.length === 1);
    stopBeating();
    const begun = performance.now();
    await eventually(() => !feed.fresh());
    expect(performance.now() - begun).toBeLessThan(STALE_AFTER_MS + 2_000);
    await eventually(() => lines.length === 2);
    startBeating();
    await eventually(() => feed.fresh());
    await eventually(() => lines.length === 3);
    expect(lines).toEqual([
      'revocation feed is fresh',
      'revocation feed is stale, asking the database for each request',
      'revocation feed is fresh',
    ]);
  });

  test('an entry that it cannot read makes it ask the database, because that entry revokes something', async () => {
    const { feed, lines } = await followFresh();
    await publish({ tenants: ['t'], until });
    await eventually(() => !feed.fresh());
    expect(lines).toContain('revocation entry cannot be read, asking the database until it has expired');
    const another = await follow();
    await eventually(() => another.lines.some((line) => line.startsWith('revocation entry cannot be read')));
    expect(another.feed.fresh()).toBe(false);
  });

  test('an entry that it cannot read and that has expired is no reason to ask', async () => {
    await publish({ tenants: ['t'], until: 1 });
    const { feed } = await followFresh();
    expect(feed.fresh()).toBe(true);
  });
});

describe('revocation feed after a fault', () => {
  test('a deleted consumer is made again, and nothing is missed', async () => {
    const { feed } = await followFresh();
    const consumers = await manager.consumers.list(revocationStream).next();
    for (const { name } of consumers) await manager.consumers.delete(revocationStream, name);
    await publish({ sids: ['meanwhile'], until });
    await eventually(() => feed.fresh() && feed.revoked('meanwhile'));
  });

  test('a stream deleted and made again is read from its start before the feed is fresh', async () => {
    for (let n = 0; n < 20; n += 1) await publish({ sids: [`old-${n}`], until });
    const { feed } = await followFresh();
    stopBeating();
    await manager.streams.delete(revocationStream);
    await makeStream();
    await publish({ sids: ['new'], until });
    await eventually(() => !feed.fresh());
    startBeating();
    // Sequence 1 of the new stream lies far below what was read of the old one.
    await neverFreshWithout(feed, 'new');
    expect(feed.revoked('old-7')).toBe(true);
  });

  test('a stream that somebody deleted is made again without anybody restarting anything', async () => {
    const { feed } = await followFresh();
    await manager.streams.delete(revocationStream);
    await eventually(() => publish({ sids: ['back'], until }).then(() => true));
    await eventually(() => feed.fresh() && feed.revoked('back'));
  });

  test('a stream that was wiped and has grown beyond the old one is read from its start too', async () => {
    await publish({ sids: ['old'], until });
    const { feed } = await followFresh();
    await manager.streams.delete(revocationStream);
    await makeStream();
    await publish({ sids: ['first'], until });
    for (let n = 0; n < 20; n += 1) await publish({ sids: [`new-${n}`], until });
    await eventually(() => feed.revoked('first') && feed.revoked('new-19'));
    await neverFreshWithout(feed, 'first');
  });

  test('entries purged before they were read do not keep it stale for ever', async () => {
    const { feed } = await followFresh();
    // Without the consumer the feed cannot read; a purge takes what it would have read.
    const consumers = await manager.consumers.list(revocationStream).next();
    await Promise.all([
      ...consumers.map(({ name }) => manager.consumers.delete(revocationStream, name)),
      publish({ sids: ['gone'], until }),
      manager.streams.purge(revocationStream),
    ]);
    await eventually(() => feed.fresh());
    await publish({ sids: ['next'], until });
    await eventually(() => feed.fresh() && feed.revoked('next'));
  });

  test('a restarted server: stale while it is away, and knows afterwards what was revoked meanwhile', async () => {
    await publish({ sids: ['before'], until });
    const { feed } = await followFresh();
    await nats.restart();
    await eventually(() => !feed.fresh());
    expect(feed.revoked('before')).toBe(true);
    await eventually(() => publish({ sids: ['after'], until }).then(() => true));
    await eventually(() => feed.fresh() && feed.revoked('after'));
  });

  test('a server that lost its store: what is known stays known, what is published again is read first', async () => {
    for (let n = 0; n < 20; n += 1) await publish({ sids: [`old-${n}`], until });
    const { feed } = await followFresh();
    stopBeating();
    await nats.restart({ wiped: true });
    await eventually(() => makeStream().then(() => true));
    await publish({ sids: ['again'], until });
    startBeating();
    await neverFreshWithout(feed, 'again');
    expect(feed.revoked('old-7')).toBe(true);
    const another = await followFresh();
    expect(another.feed.revoked('again')).toBe(true);
  });
});

/** Waits until the feed is fresh; at no moment on the way may it be fresh and not know the session. */
async function neverFreshWithout(feed: RevocationFeed, sid: string): Promise<void> {
  const deadline = performance.now() + 10_000;
  let freshSince: number | undefined;
  while (freshSince === undefined || performance.now() - freshSince < 500) {
    if (performance.now() > deadline) throw new Error('not fresh at the deadline');
    if (feed.fresh()) {
      expect(feed.revoked(sid)).toBe(true);
      freshSince ??= performance.now();
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
}
