import { testNats } from '@gatehouse/kit/testing';
import { eventStream } from '@gatehouse/nats-claims';
import { AckPolicy, jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Check } from './check.ts';
import { examine } from './examine.ts';

describe('consumers', () => {
  let nats: Awaited<ReturnType<typeof testNats>>;
  let nc: NatsConnection;
  beforeAll(async () => {
    nats = await testNats();
    const { host, username, password } = new URL(nats.url);
    nc = await connect({ servers: host, user: username, pass: password });
    const jsm = await jetstreamManager(nc);
    await jsm.streams.add({ name: eventStream, subjects: ['auth.>'] });
    await jsm.consumers.add(eventStream, { durable_name: 'audit-record', ack_policy: AckPolicy.Explicit });
  });
  afterAll(async () => {
    await nc?.close();
    await nats?.close();
  });

  const look = async (): Promise<Check> => {
    const found = await examine('http://127.0.0.1:9', { NATS_URL: nats.url, GATEHOUSE_HOME: '/nowhere' });
    return found.find(({ name }) => name === 'nats.consumers') as Check;
  };
  const publish = async (count: number) => {
    for (let sent = 0; sent < count; sent += 1) nc.publish('auth.login.success', '{}');
    await nc.flush();
  };

  it('that have nothing to do are well', async () => {
    expect(await look()).toMatchObject({ status: 'ok', finding: 'audit-record: 0 behind' });
  });

  it('whose process is away while events come: a warning with how far behind they are', async () => {
    await publish(3);
    expect(await look()).toMatchObject({
      status: 'warning',
      finding: 'audit-record: events wait and nobody asks for them',
      details: ['audit-record: 3 behind'],
      remedy: expect.stringContaining('start the service'),
    });
  });

  it('that ask for events and do not keep up: a warning from a thousand on', async () => {
    await publish(1_000);
    const jsm = await jetstreamManager(nc);
    const consumer = await jsm.jetstream().consumers.get(eventStream, 'audit-record');
    // Takes one after the other, acknowledges none, and goes on asking.
    const messages = await consumer.consume({ max_messages: 2_000, callback: () => {} });
    await expect
      .poll(async () => await look(), { timeout: 20_000 })
      .toMatchObject({ status: 'warning', finding: 'audit-record: 1003 behind' });
    messages.stop();
  });
});
