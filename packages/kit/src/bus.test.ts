import { jetstreamManager } from '@nats-io/jetstream';
import { nanos } from '@nats-io/nats-core';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Bus, BusDown, type BusOptions, connectBus, eventStream, revocationStream } from './bus.ts';
import { createLog } from './log.ts';
import { eventually, type TestNats, testNats } from './testing.ts';

let nats: TestNats;
const open: Bus[] = [];
beforeAll(async () => {
  nats = await testNats();
});
afterAll(async () => {
  await Promise.all(open.map((bus) => bus.close()));
  await nats.close();
});

function bus(options: Partial<BusOptions> = {}): Bus {
  const made = connectBus({ url: nats.url, name: 'test', log: pino({ level: 'silent' }), ...options });
  open.push(made);
  return made;
}

async function managerOf(one: Bus) {
  const nc = one.nc();
  if (nc === undefined) throw new Error('not connected');
  return jetstreamManager(nc);
}

describe('the bus', () => {
  it('makes the streams, tells when it is up, and answers a ping', async () => {
    const states: boolean[] = [];
    const one = bus({ onState: (up) => states.push(up) });
    expect(one.up).toBe(false);
    await expect(one.ping()).rejects.toThrow(BusDown);
    await eventually(() => one.up);
    expect(states).toEqual([true]);
    expect(await one.ping()).toBeLessThan(1_000);
    const jsm = await managerOf(one);
    const events = await jsm.streams.info(eventStream);
    expect(events.config).toMatchObject({
      storage: 'file',
      max_age: nanos(7 * 86_400_000),
      duplicate_window: nanos(120_000),
      num_replicas: 1,
    });
    expect(events.config.subjects).toContain('security.>');
    expect((await jsm.streams.info(revocationStream)).config).toMatchObject({
      subjects: ['revocation.>'],
      max_age: nanos(1_200_000),
    });
    expect(one.createdAt(eventStream)).toBe(events.created);
  });

  it('updates streams that another release made, and keeps their messages', async () => {
    const one = bus();
    await eventually(() => one.up);
    const jsm = await managerOf(one);
    await jsm.jetstream().publish('auth.logout');
    await jsm.streams.update(eventStream, { subjects: ['auth.>'], max_age: nanos(3_600_000) });
    const two = bus({ revocationsMaxAgeSeconds: 60 });
    await eventually(() => two.up);
    const { config, state } = await jsm.streams.info(eventStream);
    expect(config.subjects).toContain('session.>');
    expect(config.max_age).toBe(nanos(7 * 86_400_000));
    expect(state.messages).toBe(1);
    expect((await jsm.streams.info(revocationStream)).config.max_age).toBe(nanos(60_000));
  });

  it('starts without nats, comes up with it, goes down and comes back with the server', async () => {
    await nats.server().kill();
    const ups: number[] = [];
    const one = bus();
    one.onUp(() => ups.push(1));
    await expect(one.ping()).rejects.toThrow(BusDown);
    await nats.restart();
    await eventually(() => one.up);
    await nats.server().kill();
    await eventually(() => !one.up);
    await nats.restart();
    await eventually(() => one.up);
    expect(ups).toHaveLength(2);
  });

  it('makes the streams again when the whole store was lost, and when somebody finds one missing', async () => {
    const one = bus();
    await eventually(() => one.up);
    const first = one.createdAt(eventStream);
    await nats.restart({ wiped: true });
    await eventually(() => one.up && one.createdAt(eventStream) !== first);
    const second = one.createdAt(eventStream);
    await (await managerOf(one)).streams.delete(eventStream);
    one.repair();
    expect(one.up).toBe(false);
    await eventually(() => one.up && one.createdAt(eventStream) !== second);
  });

  it('never shows its credentials, wrong ones neither, and does not give up over them', async () => {
    const lines: string[] = [];
    const log = createLog({
      ...{ service: 'test', level: 'trace', pretty: false },
      destination: { write: (line: string) => void lines.push(line) },
    });
    const url = new URL(nats.url);
    const right = decodeURIComponent(url.password);
    url.password = 'hunter2%2F';
    const wrong = bus({ url: url.href, log });
    const away = bus({ url: `nats://gatehouse:${right}@127.0.0.1:1`, log });
    await eventually(() => lines.length >= 2);
    expect(lines.join('')).toContain('nats is not available');
    expect(lines.join('')).not.toContain('hunter2');
    expect(lines.join('')).not.toContain(right);
    expect(lines).toHaveLength(2);
    const message = await wrong.ping().catch((error: unknown) => String(error));
    expect(message).toBe('BusDown: nats is not connected');
    await Promise.all([wrong.close(), away.close()]);
  });
});
