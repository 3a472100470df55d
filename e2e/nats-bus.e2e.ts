import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { eventually } from '@gatehouse/kit/testing';
import { jetstreamManager } from '@nats-io/jetstream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BusClient, connectAs, connectSoon, connectWith } from './nats-client.ts';
import { auditEvent, mode, newPerson, newTenant, type Platform, startPlatform } from './platform.ts';

// Attack 16, and the stranger's road: the platform's own bus is the first cluster of NATS identity.
let platform: Platform;
let token: string;
const clients: BusClient[] = [];
const services = ['gateway', 'auth', 'token', 'audit', 'nats-identity', 'all-in-one'];

beforeAll(async () => {
  platform = await startPlatform({
    ownPostgres: true,
    natsMonitor: true,
    env: { NATS_HEALTH_INTERVAL_SECONDS: '1' },
  });
  token = await platform.adminToken();
});
afterAll(async () => {
  await Promise.all(clients.map((client) => client.close()));
  await platform?.close();
});

const kept = async (connecting: Promise<BusClient>) => {
  const client = await connecting;
  clients.push(client);
  return client;
};
const credsOf = (service: string) => readFileSync(platform.nats.credsOf(service), 'utf8');
const seedOf = (creds: string) => /^SU[A-Z2-7]{56}$/m.exec(creds)?.[0] ?? '';
const post = async (path: string, body: unknown, status = 201) => {
  const answer = await platform.api.post(`/api/nats${path}`, body, { token });
  expect(answer.status, answer.text).toBe(status);
  return answer.body;
};
const list = async (path: string) => {
  const answer = await platform.api.get(`/api/nats${path}`, { token });
  expect(answer.status, answer.text).toBe(200);
  return answer.body.items;
};

/** An account with a user: what the README's first lines make. */
async function newUser(account: string, user: string) {
  const { id: account_id } = await post('/accounts', { name: account });
  const { id } = await post('/users', { account_id, name: user });
  const { creds } = await post(`/users/${id}/credentials`, { ttl_seconds: 3_600 });
  return { account_id, user_id: id, creds: creds as string };
}

describe('attack 16: a service on another’s ground', () => {
  it('auth may publish its own events, and nothing of the others', async () => {
    const auth = await kept(connectAs(platform, 'auth'));
    for (const subject of [
      ...[
        'session.created',
        'token.key.created',
        'revocation.entry',
        'revocation-heartbeat',
        'natsid.account.created',
      ],
      ...[
        'admin.sessions.revoked',
        'security.refresh_replay_detected',
        'audit.x',
        'anything',
        '_INBOX_token.x',
      ],
    ])
      expect([subject, await auth.mayPublish(subject)]).toEqual([subject, false]);
    const jsm = await jetstreamManager(auth.nc, { checkAPI: false });
    expect((await jsm.streams.info('GATEHOUSE_EVENTS')).config.name).toBe('GATEHOUSE_EVENTS');
    // One that may is not told of a refusal, so the question above can be answered with yes.
    const { mayPublish } = await kept(connectAs(platform, 'token'));
    expect(await mayPublish('revocation-heartbeat')).toBe(true);
    // What it may say arrives: the sign-in of this very test.
    await auditEvent(platform, { type: 'auth.login.success' });
  });

  it('auth hears its own inbox and the heartbeat, and neither events nor what others are answered', async () => {
    const auth = await kept(connectAs(platform, 'auth'));
    for (const subject of [
      ...['>', '*', '*.>', 'auth.>', 'natsid.>', 'session.created', 'revocation.>', '$SYS.>', '$JS.>'],
      ...['_INBOX.>', '_INBOX_token.>', '_INBOX_all-in-one.>', 'revocation-heartbeat.>'],
    ])
      expect([subject, await auth.mayListen(subject)]).toEqual([subject, false]);
    expect(await auth.mayListen('_INBOX_auth.x.y')).toBe(true);
    const beat = auth.nc.subscribe('revocation-heartbeat', { max: 1 });
    for await (const message of beat) expect(message.json()).toHaveProperty('seq');
  });

  it.each(services)(
    '%s may not manage JetStream beyond what is its own, nor ask the system account',
    async (service) => {
      const client = await kept(connectAs(platform, service));
      const api = (name: string) => `$JS.API.${name}`;
      const streams = ['GATEHOUSE_EVENTS', 'GATEHOUSE_REVOCATIONS'];
      const manages = ['token', 'audit', 'all-in-one'].includes(service);
      const follows = ['audit', 'all-in-one'].includes(service);
      const refused = [
        ...streams.flatMap((stream) =>
          ['DELETE', 'PURGE', 'MSG.GET', 'MSG.DELETE', 'SNAPSHOT', 'RESTORE', 'LEADER.STEPDOWN'].map((verb) =>
            api(`STREAM.${verb}.${stream}`),
          ),
        ),
        ...(manages
          ? []
          : streams.flatMap((stream) => [api(`STREAM.CREATE.${stream}`), api(`STREAM.UPDATE.${stream}`)])),
        ...[
          api('STREAM.CREATE.MINE'),
          api('STREAM.NAMES'),
          api('STREAM.LIST'),
          api('INFO'),
          api('ACCOUNT.PURGE.X'),
        ],
        ...[
          api('CONSUMER.CREATE.GATEHOUSE_EVENTS.mine'),
          api('CONSUMER.DELETE.GATEHOUSE_EVENTS.audit-record'),
        ],
        ...(follows
          ? []
          : [
              api('CONSUMER.MSG.NEXT.GATEHOUSE_EVENTS.audit-record'),
              '$JS.ACK.GATEHOUSE_EVENTS.audit-record.1.1.1.1.0',
            ]),
        ...[api('DIRECT.GET.GATEHOUSE_EVENTS'), '$JS.FC.x', '$JSC.x'],
        ...[
          '$SYS.REQ.SERVER.PING',
          '$SYS.REQ.CLAIMS.UPDATE',
          '$SYS.REQ.CLAIMS.LIST',
          '$SYS.REQ.ACCOUNT.PING.CONNZ',
        ],
      ];
      const allowed: string[] = [];
      for (const subject of refused) if (await client.mayPublish(subject)) allowed.push(subject);
      expect(allowed).toEqual([]);
      expect(await client.mayListen('$SYS.>')).toBe(false);
      expect(await client.mayListen('>')).toBe(false);
    },
  );

  it('nobody connects without credentials, or with those of another bus', async () => {
    const { host } = new URL(platform.nats.url);
    await expect(
      connectWith(platform, credsOf('auth').replace(seedOf(credsOf('auth')), seedOf(credsOf('token')))),
    ).rejects.toThrow();
    const { connect } = await import('@nats-io/transport-node');
    await expect(connect({ servers: host, maxReconnectAttempts: 0 })).rejects.toThrow();
    await expect(
      connect({ servers: host, user: 'gatehouse', pass: 'gatehouse', maxReconnectAttempts: 0 }),
    ).rejects.toThrow();
  });

  it('no seed shows on the monitoring pages or in a log, nor do the services’ JWTs in varz', async () => {
    const pages = ['varz', 'connz?auth=1&subs=1', 'subsz?subs=1', 'jsz?acc=GATEHOUSE&config=1', 'accountz'];
    const shown = await Promise.all(
      pages.map(
        async (page) => [page, await (await fetch(`${platform.nats.monitorUrl}/${page}`)).text()] as const,
      ),
    );
    for (const [page, text] of shown) expect([page, text.length > 50]).toEqual([page, true]);
    const serverLog = readFileSync(
      join(dirname(platform.nats.credsOf('auth')), '../../nats/nats.log'),
      'utf8',
    );
    const everything = [...shown.map(([, text]) => text), platform.logs(), serverLog].join('\n');
    for (const service of services) {
      const creds = credsOf(service);
      const jwt = /^ey[\w-]+\.[\w-]+\.[\w-]+$/m.exec(creds)?.[0] ?? 'none';
      expect(seedOf(creds)).toHaveLength(58);
      expect(everything).not.toContain(seedOf(creds));
      expect([shown[0]?.[1], platform.logs(), serverLog].join()).not.toContain(jwt);
    }
    expect(everything).not.toMatch(/\bS[OAU][A-Z2-7]{56}\b/);
  });

  it('the system account of the bus gives nobody credentials', async () => {
    const [system] = await list('/accounts?q=SYS');
    expect(system).toMatchObject({ name: 'SYS', kind: 'system' });
    const refused = await post('/users', { account_id: system.id, name: 'me' }, 403);
    expect(refused).toMatchObject({ code: 'forbidden' });
  });
});

describe('the stranger’s road', () => {
  let orders: Awaited<ReturnType<typeof newUser>>;

  it('an account and a user, made over the API, publish and hear within a minute of asking', async () => {
    const begun = performance.now();
    orders = await newUser('orders', 'shop');
    const shop = await kept(connectSoon(platform, orders.creds));
    const heard = shop.nc.subscribe('orders.*', { max: 1 });
    shop.nc.publish('orders.new', '{"id":1}');
    for await (const message of heard) expect(message.json()).toEqual({ id: 1 });
    expect(performance.now() - begun).toBeLessThan(60_000);
    const [account] = await list('/accounts?q=orders');
    await eventually(async () => {
      const [now] = await list('/accounts?q=orders');
      expect(now.sync).toMatchObject([{ cluster: 'bus', state: 'in_sync' }]);
    }, 30_000);
    expect(account.state).toBe('active');
  });

  it('another account hears nothing of it, and none reaches the platform’s own subjects and streams', async () => {
    const others = await newUser('invoices', 'desk');
    const [shop, desk] = await Promise.all([
      kept(connectSoon(platform, orders.creds)),
      kept(connectSoon(platform, others.creds)),
    ]);
    const heard: string[] = [];
    desk.nc.subscribe('>', { callback: (_, message) => void heard.push(message.subject) });
    await desk.nc.flush();
    const auth = await kept(connectAs(platform, 'auth'));
    const jsm = await jetstreamManager(auth.nc, { checkAPI: false });
    const before = (await jsm.streams.info('GATEHOUSE_REVOCATIONS')).state.last_seq;
    shop.nc.publish('orders.new', '{"id":2}');
    for (const subject of ['revocation.entry', 'revocation-heartbeat', 'auth.login.success'])
      for (const client of [shop, desk]) client.nc.publish(subject, '{"forged":true}');
    const person = await newPerson(platform.api);
    await auditEvent(platform, { type: 'auth.login.success', user_id: person.user_id });
    await Promise.all([shop.nc.flush(), desk.nc.flush()]);
    // Its own words it hears: so it listens.
    await eventually(() => expect(heard.filter((one) => one === 'revocation.entry')).toHaveLength(1));
    expect(heard).not.toContain('orders.new');
    expect(heard.filter((one) => one === 'auth.login.success')).toHaveLength(1);
    expect((await jsm.streams.info('GATEHOUSE_REVOCATIONS')).state.last_seq).toBe(before);
    const { items } = (await platform.api.get('/api/audit/events?limit=200', { token })).body;
    expect(JSON.stringify(items)).not.toContain('forged');
    await expect(jetstreamManager(desk.nc, { timeout: 1_000 })).rejects.toThrow();
  });

  it('an administrator of a tenant sees neither the platform’s accounts nor anybody else’s', async () => {
    const tenant_id = await newTenant(platform, 'shop');
    const person = await newPerson(platform.api, { tenant_id });
    const raised = await platform.api.request(
      'POST',
      `/api/admin/users/${person.user_id}/role`,
      { role: 'ADMIN', reason: 'test' },
      { token },
    );
    expect(raised.status, raised.text).toBeLessThan(300);
    const signedIn = await platform.api.post('/api/auth/login', {
      email: person.email,
      password: person.password,
      tenant_id,
    });
    const admin = signedIn.body.access_token;
    const seen = await platform.api.get('/api/nats/accounts', { token: admin });
    expect(seen.body.items).toEqual([]);
    const foreign = await platform.api.get(`/api/nats/accounts/${orders.account_id}`, { token: admin });
    expect(foreign.status).toBe(404);
  });

  it('nats-server killed with -9 and back: who was connected is again, and the bus works on', async () => {
    const shop = await kept(connectSoon(platform, orders.creds));
    await platform.nats.kill();
    await platform.nats.start();
    await eventually(() => shop.nc.flush(), 30_000);
    await expectBusWorks();
    await expectEcho(shop);
    // They are the servers that they were, not others beside some that are missed.
    await eventually(
      async () => expect((await platform.api.get('/health')).body.status).toBe('healthy'),
      60_000,
    );
    const [{ id }] = await list('/clusters');
    const health = await platform.api.get(`/api/nats/clusters/${id}/health`, { token });
    expect(health.body.servers).toHaveLength(platform.nats.servers.length);
  });

  it('everything stopped and started again: the same credentials, and the bus is taken over only once', async () => {
    for (const name of platform.services) await platform.stopService(name);
    await platform.nats.stop();
    await platform.postgres.stop();
    await platform.postgres.start();
    await platform.nats.start();
    await Promise.all(platform.services.map((name) => platform.startService(name)));
    token = await platform.adminToken();
    await expectBusWorks();
    await expectEcho(await kept(connectSoon(platform, orders.creds)));
    const operators = await list('/operators');
    expect(operators).toMatchObject([{ name: 'gatehouse', own: true, root_key: 'held' }]);
    expect(await list('/clusters')).toMatchObject([{ name: 'bus', own: true }]);
  });

  it('the credentials of a service are renewed as any user’s: the old are dead, the process goes on with the new', async () => {
    const service = mode === 'one' ? 'all-in-one' : 'auth';
    const [account] = await list('/accounts?q=GATEHOUSE');
    const users = await list(`/users?account_id=${account.id}`);
    expect(users.map(({ name }: { name: string }) => name).toSorted()).toEqual(services.toSorted());
    const { id } = users.find(({ name }: { name: string }) => name === service);
    const old = credsOf(service);
    const { creds } = await post(`/users/${id}/credentials`, { never_expires: true, supersede: true });
    expect(creds).not.toBe(old);
    writeFileSync(platform.nats.credsOf(service), creds, { mode: 0o600 });
    await eventually(() => expect(connectWith(platform, old)).rejects.toThrow(), 30_000);
    await eventually(async () => {
      const { items } = (await platform.api.get(`/api/nats/credentials?user_id=${id}`, { token })).body;
      expect(items.map(({ state }: { state: string }) => state)).toEqual(['active', 'superseded']);
    });
    await expectBusWorks();
    await platform.nats.kill();
    await platform.nats.start();
    await expectBusWorks();
  });

  /** An event that a person causes now comes to audit: outbox, bus and consumer all sign in. */
  async function expectBusWorks(): Promise<void> {
    const person = await newPerson(platform.api);
    await auditEvent(platform, { type: 'auth.register.success', user_id: person.user_id });
  }

  async function expectEcho({ nc }: BusClient): Promise<void> {
    const heard = nc.subscribe('orders.echo', { max: 1 });
    nc.publish('orders.echo', 'x');
    for await (const message of heard) expect(message.string()).toBe('x');
  }
});
