import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { connectBus } from './bus.ts';
import { EventBench } from './event-testing.ts';
import { appendRevocation } from './outbox.ts';
import type { Relay } from './relay.ts';
import { createRevocationFeed, type RevocationFeed } from './revocation-feed.ts';
import { eventually } from './testing.ts';

let bench: EventBench;
let relay: Relay;

beforeAll(async () => {
  bench = await EventBench.open();
});
afterAll(() => bench?.close());
beforeEach(async () => {
  await bench.reset();
  relay = bench.relay({ heartbeat: true });
});

/** Another service's feed, on a connection of its own. */
async function withFeed(work: (feed: RevocationFeed) => Promise<void>): Promise<void> {
  const { log, metrics } = bench;
  const bus = connectBus({ url: bench.nats.url, name: 'feed', log });
  const feed = createRevocationFeed({ bus, log, metrics, service: 'test' });
  await feed.start();
  try {
    await work(feed);
  } finally {
    await feed.close();
    await bus.close();
  }
}

/** Commits a revocation as the token service does; the session. */
async function revoke(): Promise<string> {
  const sid = randomUUID();
  const until = Math.floor(Date.now() / 1000) + 900;
  await bench.producer.db.transaction().execute((tx) => appendRevocation(tx, { sids: [sid], until }));
  return sid;
}

test('a committed revocation counts elsewhere within a second, even when nobody pokes the relay', async () => {
  await withFeed(async (feed) => {
    await eventually(() => feed.fresh());
    for (const poked of [true, false]) {
      for (let n = 0; n < 10; n += 1) {
        const sid = await revoke();
        const committed = performance.now();
        if (poked) relay.poke();
        while (feed.fresh() && !feed.revoked(sid)) await new Promise(setImmediate);
        expect(performance.now() - committed).toBeLessThan(1000);
      }
    }
    // An unpoked row counts as late, which may have cost a heartbeat: the feed asks meanwhile, and is fresh again soon.
    await eventually(() => feed.fresh());
  });
});

test('what was revoked while nats was away is known before the feed is fresh again', async () => {
  await withFeed(async (feed) => {
    await eventually(() => feed.fresh());
    const before = await revoke();
    await eventually(() => feed.revoked(before));
    await bench.nats.server().kill();
    await eventually(() => !feed.fresh());
    const away = await revoke();
    await bench.nats.restart();
    await eventually(() => feed.fresh());
    expect(feed.revoked(away)).toBe(true);
    expect(feed.revoked(before)).toBe(true);
  });
});

test('a wiped store is filled again from the outbox before any feed is fresh, also one that starts now', async () => {
  const sids: string[] = [];
  await withFeed(async (feed) => {
    await eventually(() => feed.fresh());
    for (let n = 0; n < 5; n += 1) sids.push(await revoke());
    await eventually(() => sids.every((sid) => feed.revoked(sid)));
    await bench.nats.restart({ wiped: true });
    await withFeed(async (another) => {
      await eventually(() => another.fresh());
      for (const sid of sids) expect(another.revoked(sid)).toBe(true);
    });
    await eventually(() => feed.fresh());
    for (const sid of sids) expect(feed.revoked(sid)).toBe(true);
  });
});
