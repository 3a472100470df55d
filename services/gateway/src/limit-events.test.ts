import { createLog } from '@gatehouse/kit';
import { eventually } from '@gatehouse/kit/testing';
import { describe, expect, it } from 'vitest';
import { createLimitEvents, type LimitEvent, type Refusal } from './limit-events.ts';

const log = createLog({ service: 'gateway', level: 'silent', pretty: false });
const refusal = (ip: string, windowSeconds = 60): Refusal => ({
  ...{ scope: 'login', limit: 3, windowSeconds, ip, userAgent: null, traceparent: null },
});
const counts = (events: readonly LimitEvent[]) =>
  events.map((event) => (event.kind === 'refused' ? event.count : event.state));

describe('events of refusals', () => {
  it('at most one a key and window, and the counts add up', async () => {
    const written: LimitEvent[] = [];
    const events = createLimitEvents({ log, write: async (some) => void written.push(...some) });
    for (let index = 0; index < 7; index += 1) events.refused(refusal('192.0.2.1'));
    await eventually(() => expect(counts(written)).toEqual([7]));
    for (let index = 0; index < 5; index += 1) events.refused(refusal('192.0.2.1'));
    events.refused(refusal('192.0.2.2'));
    await eventually(() => expect(counts(written)).toEqual([7, 1]));
    await events.close();
    expect(counts(written)).toEqual([7, 1, 5]);
  });

  it('the next window tells what the last one still owed', async () => {
    const written: LimitEvent[] = [];
    const events = createLimitEvents({ log, write: async (some) => void written.push(...some) });
    events.refused(refusal('192.0.2.1', 1));
    await eventually(() => expect(counts(written)).toEqual([1]));
    events.refused(refusal('192.0.2.1', 1));
    events.refused(refusal('192.0.2.1', 1));
    await eventually(() => expect(counts(written)).toEqual([1, 2]));
    await events.close();
  });

  it('what could not be written is kept and written later, with what came meanwhile', async () => {
    const written: LimitEvent[] = [];
    let away = true;
    let tried = 0;
    const events = createLimitEvents({
      log,
      write: async (some) => {
        tried += 1;
        if (away) throw new Error('database is away');
        written.push(...some);
      },
    });
    events.storeChanged('lost');
    events.refused(refusal('192.0.2.1'));
    await eventually(() => expect(tried).toBeGreaterThan(1));
    expect(written).toEqual([]);
    away = false;
    events.refused(refusal('192.0.2.1'));
    await eventually(() => expect(counts(written)).toEqual(['lost', 2]));
    await events.close();
  });

  it('a flood from more addresses than are told apart takes bounded memory and loses no count', async () => {
    const written: LimitEvent[] = [];
    const events = createLimitEvents({ log, write: async (some) => void written.push(...some) });
    for (let index = 0; index < 12_000; index += 1)
      events.refused(refusal(`10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`));
    await events.close();
    expect(written).toHaveLength(10_001);
    const others = written.filter((event) => event.kind === 'refused' && event.ip === null);
    expect(counts(others)).toEqual([2_000]);
  });
});
