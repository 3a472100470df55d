import { findPgBouncer } from '@gatehouse/embedded';
import { eventually } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Failure, type MixedTraffic, startMixedTraffic } from './mixed-traffic.ts';
import { expectAllRecorded } from './mixed-trail.ts';
import { mode, type Platform, startPlatform } from './platform.ts';
import { gatehouseFor } from './run-gatehouse.ts';

// What the issue calls scale-out: two of each service on a cluster, under traffic all the time. Everything is rolled,
// then one of each kind is killed; in the end all that was acknowledged is there, once.
const LIMIT = '1000000';
/** Ten processes drain, end and start, one after the other. */
const ROLL_TIMEOUT_MS = 300_000;
let platform: Platform;
let traffic: MixedTraffic;
const gatehouse = gatehouseFor(() => platform);

describe.runIf(mode === 'scaled')('two instances of everything, under traffic', () => {
  beforeAll(async () => {
    platform = await startPlatform({
      natsMonitor: true,
      env: {
        // The limits are on, so that Redis is on the way of every request.
        RATE_LIMIT_ENABLED: 'true',
        RATE_LIMIT_REFRESH_MAX: LIMIT,
        RATE_LIMIT_DEFAULT_MAX: LIMIT,
        RATE_LIMIT_LOGIN_MAX: LIMIT,
        RATE_LIMIT_LOGIN_ACCOUNT_MAX: LIMIT,
        RATE_LIMIT_REGISTER_MAX: LIMIT,
        RATE_LIMIT_ADMIN_MAX: LIMIT,
        REFRESH_REUSE_GRACE_SECONDS: '60',
        DRAIN_SECONDS: '2',
        // The bus may be away: sign-in goes on, and a load balancer shall not take every gateway out for it.
        READINESS_REQUIRES: 'db',
      },
    });
    traffic = await startMixedTraffic(platform, 4);
    await traffic.progress(50);
  });
  afterAll(async () => {
    await traffic?.stop();
    await platform?.close();
    gatehouse.close();
  });

  const services = ['gateway', 'token', 'auth', 'audit', 'nats-identity'];

  it(
    'each instance of each service is rolled, and no request fails',
    async () => {
      expect(traffic.failures()).toEqual([]);
      for (const service of services)
        for (const instance of [`${service}-1`, `${service}-2`]) {
          await platform.stopService(instance);
          await platform.startService(instance);
          await traffic.progress(20);
          expect(traffic.failures(), instance).toEqual([]);
        }
    },
    ROLL_TIMEOUT_MS,
  );

  it('each nats-server is rolled, and Redis is started again, and no request fails', async () => {
    for (const server of platform.nats.servers) {
      await server.stop();
      await traffic.progress(20);
      await server.start();
      await allReplicasCurrent();
      await traffic.progress(20);
    }
    await platform.redis.stop();
    await traffic.progress(20);
    await platform.redis.start();
    await traffic.progress(20);
    expect(traffic.failures()).toEqual([]);
  });

  for (const service of services)
    it(`one ${service} is killed with -9: only what was under way there fails`, async () => {
      const instance = `${service}-1`;
      await platform.killService(instance);
      const goneAt = performance.now();
      await traffic.progress(40);
      expect(sentAfter(goneAt, traffic.failures())).toEqual([]);
      await platform.startService(instance);
      await traffic.progress(20);
      expect(traffic.failures()).toEqual([]);
    });

  it('the nats-server that leads the stream of events is killed with -9, and no request fails', async () => {
    const leader = await leaderOfEvents();
    await leader.kill();
    await traffic.progress(40);
    await leader.start();
    await allReplicasCurrent();
    expect(traffic.failures()).toEqual([]);
  });

  it.runIf(findPgBouncer())(
    'the pooler is killed with -9: quick refusals until it is there again, and nothing else',
    async () => {
      await platform.pooler.kill();
      await eventually(() => expect(traffic.failures().length).toBeGreaterThan(0));
      await platform.pooler.start();
      const backAt = performance.now();
      await traffic.progress(40);
      const failures = traffic.failures();
      expect(failures.filter(({ status }) => status !== 503)).toEqual([]);
      // A second for connections whose other side is gone and that nobody has taken since.
      expect(sentAfter(backAt + 1_000, failures)).toEqual([]);
    },
  );

  it('in the end nothing that was acknowledged is lost, no event is lost or there twice, and the trail is sound', async () => {
    await traffic.stop();
    await expectAllRecorded(platform, traffic);
    await gatehouse.done(['login', '--email', platform.admin.email], `${platform.admin.password}\n`);
    expect(await gatehouse.done(['audit', 'verify'])).toContain('the trail is sound');
  });
});

/** Failures of requests that were sent when the killed process was gone for good. */
const sentAfter = (at: number, failures: readonly Failure[]): Failure[] =>
  failures.filter(({ sentAt }) => sentAt > at);

interface StreamPage {
  readonly name: string;
  readonly cluster: {
    readonly leader: string;
    readonly replicas?: readonly { readonly current: boolean; readonly offline?: boolean }[];
  };
}

/** What a server tells of the streams. */
async function streamsAt(monitorUrl: string): Promise<readonly StreamPage[]> {
  const answer = await fetch(`${monitorUrl}/jsz?accounts=true&streams=true`);
  const page = (await answer.json()) as { account_details: { stream_detail?: StreamPage[] }[] };
  return page.account_details.flatMap(({ stream_detail = [] }) => stream_detail);
}

async function nameAt(monitorUrl: string): Promise<string> {
  const answer = await fetch(`${monitorUrl}/varz`);
  return ((await answer.json()) as { server_name: string }).server_name;
}

async function leaderOfEvents() {
  for (const server of platform.nats.servers) {
    const streams = await streamsAt(server.monitorUrl);
    const leader = streams.find(({ name }) => name === 'GATEHOUSE_EVENTS')?.cluster.leader;
    if (leader === (await nameAt(server.monitorUrl))) return server;
  }
  throw new Error('no server leads the stream of events');
}

/** Before the next server goes: two of three must hold everything. */
async function allReplicasCurrent(): Promise<void> {
  await eventually(async () => {
    const leader = await leaderOfEvents();
    for (const { name, cluster } of await streamsAt(leader.monitorUrl))
      if (cluster.leader === (await nameAt(leader.monitorUrl)))
        expect([
          name,
          cluster.replicas?.filter(({ current, offline }) => current && !offline).length,
        ]).toEqual([name, 2]);
  }, 60_000);
}
