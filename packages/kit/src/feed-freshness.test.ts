import { describe, expect, test } from 'vitest';
import { FeedFreshness, Lateness, readHeartbeat } from './feed-freshness.ts';

const SENDER_AHEAD_MS = 1_700_000_000_000;

function feed() {
  const freshness = new FeedFreshness({ staleAfterMs: 750, lateness: new Lateness(), now: 0 });
  /** A heartbeat sent at `sent` by the sender's clock that arrives at `arrives` by ours. */
  const beat = (seq: number, arrives: number, sent = arrives) =>
    freshness.heartbeat({ seq, at: sent + SENDER_AHEAD_MS }, arrives);
  return { freshness, beat };
}

describe('a feed is fresh', () => {
  test('never before a heartbeat, and never before the backlog is read', () => {
    const { freshness, beat } = feed();
    freshness.reached(5, 0);
    expect(freshness.fresh(1)).toBe(false);
    const unread = feed();
    unread.beat(0, 0);
    expect(unread.freshness.fresh(1)).toBe(false);
    beat(5, 2);
    expect(freshness.fresh(3)).toBe(true);
  });

  test('for the given time after the last heartbeat and no longer', () => {
    const { freshness, beat } = feed();
    freshness.reached(5, 0);
    beat(5, 100);
    expect(freshness.fresh(849)).toBe(true);
    expect(freshness.fresh(850)).toBe(false);
  });

  test('while entries that a heartbeat speaks of are on their way, on the word of the heartbeat before', () => {
    const { freshness, beat } = feed();
    freshness.reached(5, 0);
    beat(5, 0);
    beat(6, 250);
    beat(6, 500);
    beat(6, 750);
    expect(freshness.fresh(749)).toBe(true);
    expect(freshness.fresh(751)).toBe(false);
    freshness.reached(6, 800);
    expect(freshness.fresh(1499)).toBe(true);
    expect(freshness.fresh(1500)).toBe(false);
  });

  test('not by heartbeats that lay in a buffer while the process or the network stood still', () => {
    const { freshness, beat } = feed();
    freshness.reached(5, 0);
    beat(5, 0, 0);
    // Thirty seconds of silence, then everything at once, the oldest first.
    for (const sent of [250, 500, 20_000, 29_000]) {
      beat(5, 30_000, sent);
      expect(freshness.fresh(30_000)).toBe(false);
    }
    beat(5, 30_000, 29_990);
    expect(freshness.fresh(30_000)).toBe(true);
  });

  test('again within twenty seconds when the sender set its clock back', () => {
    const { freshness, beat } = feed();
    freshness.reached(5, 0);
    for (let at = 0; at < 5000; at += 250) beat(5, at);
    for (let at = 5000; at < 25_000; at += 250) beat(5, at, at - 60_000);
    expect(freshness.fresh(25_000)).toBe(true);
  });
});

test('a stream that stands lower than two seconds ago is another stream; a late heartbeat of a second sender is not', () => {
  const { freshness, beat } = feed();
  freshness.reached(9, 0);
  beat(9, 0);
  expect(beat(8, 100)).toBe('taken');
  expect(beat(3, 2500)).toBe('backwards');
});

test('a feed whose heartbeats speak of entries that never come is stuck, a silent one is not', () => {
  const { freshness, beat } = feed();
  freshness.reached(1, 0);
  for (let at = 0; at <= 4000; at += 250) beat(2, at);
  expect(freshness.stuck(4000, 3000)).toBe(true);
  expect(freshness.stuck(9000, 3000)).toBe(false);
});

test('what is no heartbeat is not taken for one', () => {
  for (const text of [
    '',
    'null',
    '[]',
    '{}',
    '{"seq":1}',
    '{"seq":"1","at":1}',
    '{"seq":-1,"at":1}',
    '{"seq":1,"at":"x"}',
  ])
    expect(readHeartbeat(text)).toBeUndefined();
  expect(readHeartbeat('{"seq":1,"at":5}')).toEqual({ seq: 1, at: 5 });
  expect(readHeartbeat('{"seq":1,"at":"1970-01-01T00:00:01Z"}')).toEqual({ seq: 1, at: 1000 });
});
