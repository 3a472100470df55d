import { apiOf, eventually } from '@gatehouse/kit/testing';
import { expect } from 'vitest';
import { newPerson, type Person, type Platform } from './platform.ts';

/** Somebody who refreshes again and again and remembers what was acknowledged. */
interface Refresher {
  readonly person: Person;
  token: string;
  acknowledged: number;
  /** Statuses that were no success. */
  readonly refused: number[];
}

/** Traffic that goes on while parts fail. */
export interface Traffic {
  readonly refreshers: readonly Refresher[];
  /** Acknowledged refreshes of all, so far. */
  done(): number;
  stop(): Promise<void>;
}

/**
 * Starts people refreshing, one request after the other each. A refresh without an answer is tried again with the
 * same token, as a client does: within the grace it gets the same successor.
 */
export async function startTraffic(platform: Platform, people: number): Promise<Traffic> {
  const api = apiOf(platform.url);
  const refreshers: Refresher[] = [];
  for (let index = 0; index < people; index += 1) {
    const person = await newPerson(platform.api);
    refreshers.push({ person, token: person.refresh_token, acknowledged: 0, refused: [] });
  }
  let stopped = false;
  const lanes = refreshers.map(async (one) => {
    while (!stopped) {
      const answer = await api.post('/api/auth/refresh', { refresh_token: one.token }).catch(() => undefined);
      if (answer?.status === 200) {
        one.token = answer.body.refresh_token;
        one.acknowledged += 1;
      } else one.refused.push(answer?.status ?? 0);
      await new Promise((resolve) => setTimeout(resolve, answer?.status === 200 ? 10 : 100));
    }
  });
  return {
    refreshers,
    done: () => refreshers.reduce((sum, one) => sum + one.acknowledged, 0),
    async stop() {
      stopped = true;
      await Promise.all(lanes);
    },
  };
}

/** Waits until the traffic has got on by so many refreshes. */
export async function progress(traffic: Traffic, by: number, deadlineMs = 30_000): Promise<void> {
  const from = traffic.done();
  await eventually(() => traffic.done() >= from + by, deadlineMs);
}

/**
 * Expects that nothing was lost or doubled: every refresher's newest token lives, and audit holds every generation of
 * the session exactly once, up to what was acknowledged (one more at most: an answer that never arrived).
 */
export async function expectNothingLost(platform: Platform, traffic: Traffic): Promise<void> {
  for (const one of traffic.refreshers) {
    const answer = await platform.api.post('/api/auth/refresh', { refresh_token: one.token });
    expect(answer.status, `${answer.text} after ${one.acknowledged}, refused ${one.refused}`).toBe(200);
  }
  const token = await platform.adminToken();
  for (const { person, acknowledged } of traffic.refreshers) {
    await eventually(async () => {
      const generations = await generationsOf(platform, token, person.user_id);
      const newest = Math.max(...generations);
      expect(generations.toSorted((a, b) => a - b)).toEqual(
        Array.from({ length: newest }, (_, at) => at + 1),
      );
      // The refresh above is one more; an answer that never arrived may be another.
      expect(newest).toBeGreaterThanOrEqual(acknowledged + 1);
    }, 60_000);
  }
}

async function generationsOf(platform: Platform, token: string, user_id: string): Promise<number[]> {
  const generations: number[] = [];
  let cursor: string | null = '';
  while (cursor !== null) {
    const query = new URLSearchParams({
      type: 'session.refreshed',
      user_id,
      limit: '200',
      ...(cursor && { cursor }),
    });
    const { status, body, text } = await platform.api.get(`/api/audit/events?${query}`, { token });
    expect(status, text).toBe(200);
    generations.push(...body.items.map((item: { data: { generation: number } }) => item.data.generation));
    cursor = body.next_cursor;
  }
  return generations;
}
