import { eventually } from '@gatehouse/kit/testing';
import { expect } from 'vitest';
import type { MixedTraffic } from './mixed-traffic.ts';
import type { Platform } from './platform.ts';

interface Recorded {
  readonly id: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/**
 * Expects that nothing acknowledged was lost and nothing is in the trail twice: every newest refresh token lives, every
 * acknowledged change has exactly one event. What was done without its answer arriving may be there besides.
 */
export async function expectAllRecorded(platform: Platform, traffic: MixedTraffic): Promise<void> {
  const { acknowledged, tokens } = traffic;
  for (const refresh_token of tokens.values()) {
    const answer = await platform.api.post('/api/auth/refresh', { refresh_token });
    expect(answer.status, answer.text).toBe(200);
  }
  const token = await platform.adminToken();
  const read = (type: string, query: Record<string, string> = {}) =>
    recorded(platform, token, { type, ...query });
  const expectEach = async (type: string, field: string, wanted: ReadonlySet<string>) => {
    await eventually(async () => {
      const keys = (await read(type)).map(({ data }) => String(data[field]));
      expect(duplicates(keys), `${type} twice`).toEqual([]);
      const found = new Set(keys);
      expect(
        [...wanted].filter((key) => !found.has(key)),
        `${type} missing`,
      ).toEqual([]);
    }, 60_000);
    expect(wanted.size, type).toBeGreaterThan(10);
  };
  await expectEach('auth.register.success', 'user_id', acknowledged.registered);
  await expectEach('auth.login.success', 'session_id', acknowledged.signedIn);
  await expectEach('natsid.user.created', 'id', acknowledged.natsUsers);
  for (const [user_id, generation] of acknowledged.refreshed)
    await eventually(async () => {
      const generations = (await read('session.refreshed', { user_id })).map(({ data }) =>
        Number(data.generation),
      );
      const newest = Math.max(...generations);
      expect(generations.toSorted((a, b) => a - b)).toEqual(
        Array.from({ length: newest }, (_, at) => at + 1),
      );
      // The refresh above is one more.
      expect(newest).toBeGreaterThan(generation);
    }, 60_000);
  await eventually(async () => {
    const changed = await read('admin.user.status_changed', { user_id: traffic.lockedUser });
    const locked = changed.filter(({ data }) => data.after === 'locked');
    expect(locked.length).toBeGreaterThanOrEqual(acknowledged.locks);
  }, 60_000);
}

const duplicates = (keys: readonly string[]): string[] => keys.filter((key, at) => keys.indexOf(key) !== at);

async function recorded(
  platform: Platform,
  token: string,
  query: Record<string, string>,
): Promise<Recorded[]> {
  const found: Recorded[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const search = new URLSearchParams({ ...query, limit: '200', ...(cursor && { cursor }) });
    const { status, body, text } = await platform.api.get(`/api/audit/events?${search}`, { token });
    expect(status, text).toBe(200);
    found.push(...body.items);
    cursor = body.next_cursor;
  }
  return found;
}
