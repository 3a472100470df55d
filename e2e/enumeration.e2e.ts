import { goodPassword, newEmail } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newPerson, type Person, type Platform, startPlatform } from './platform.ts';

// Attack family 8: no answer tells whether an account exists.
let platform: Platform;

beforeAll(async () => {
  // Hashes of a weight that time could tell, one at a time.
  platform = await startPlatform({ env: { ARGON2_MEMORY_KIB: '19456', ARGON2_ITERATIONS: '2' } });
});
afterAll(() => platform?.close());

const login = (email: string, password: string, tenant_id?: string) =>
  platform.api.post('/api/auth/login', { email, password, ...(tenant_id && { tenant_id }) });

const shapeOf = (answer: { status: number; body: Record<string, unknown> }) => ({
  status: answer.status,
  body: { ...answer.body, trace_id: 'same' },
});

describe('family 8: enumeration', () => {
  it('a wrong password and an unknown address, a locked user and an unknown tenant answer to the letter alike', async () => {
    const known = await newPerson(platform.api);
    const locked = await newPerson(platform.api);
    const token = await platform.adminToken();
    await platform.api.post(`/api/admin/users/${locked.user_id}/lock`, { reason: 'test' }, { token });
    const wrong = await login(known.email, 'WrongPassword123');
    for (const other of [
      await login(newEmail(), goodPassword),
      await login(locked.email, locked.password),
      await login(known.email, known.password, 'ffffffff-ffff-4fff-8fff-ffffffffffff'),
    ])
      expect(shapeOf(other)).toEqual(shapeOf(wrong));
  });

  it('an unknown address counts and locks the same as a known one', async () => {
    const known = (await newPerson(platform.api)).email;
    const answers = async (email: string) => {
      const seen: unknown[] = [];
      for (let attempt = 0; attempt < 7; attempt += 1) {
        const { status, body } = await login(email, 'WrongPassword123');
        seen.push([status, body.code]);
      }
      return seen;
    };
    const ofKnown = await answers(known);
    expect(ofKnown).toEqual([
      ...Array(5).fill([401, 'invalid_credentials']),
      ...Array(2).fill([423, 'locked']),
    ]);
    expect(await answers(newEmail())).toEqual(ofKnown);
    // Nor does the right password tell.
    expect((await login(known, goodPassword)).status).toBe(423);
  });

  it('takes the same time for an unknown address as for a known one, statistically', async () => {
    const people: Person[] = [];
    for (let made = 0; made < 8; made += 1) people.push(await newPerson(platform.api));
    const times: Record<'known' | 'unknown', number[]> = { known: [], unknown: [] };
    const measure = async (kind: 'known' | 'unknown', email: string) => {
      const begun = performance.now();
      expect((await login(email, 'WrongPassword123')).status).toBe(401);
      times[kind].push(performance.now() - begun);
    };
    for (let round = 0; round < 4; round += 1) {
      for (const { email } of people) {
        // In turn, so that a slow moment of the machine meets both.
        await measure('known', email);
        await measure('unknown', newEmail());
      }
    }
    const middle = (list: number[]) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)] ?? 0;
    // Skipping the hash would make one of them many times as fast; the bar leaves room for a noisy machine.
    const ratio = middle(times.unknown) / middle(times.known);
    expect(ratio).toBeGreaterThan(0.6);
    expect(ratio).toBeLessThan(1.67);
  });
});
