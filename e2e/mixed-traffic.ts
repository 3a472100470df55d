import { setTimeout as delay } from 'node:timers/promises';
import { Balancer, connectionDefaults, createLog, createMetrics } from '@gatehouse/kit';
import { eventually, goodPassword, newEmail } from '@gatehouse/kit/testing';
import { newPerson, type Person, type Platform } from './platform.ts';

/** A request that did not succeed. */
export interface Failure {
  readonly what: string;
  /** 0: the connection was lost. */
  readonly status: number;
  readonly code: string;
  /** `performance.now()` when it was sent. */
  readonly sentAt: number;
}

/** What was acknowledged to somebody: all of it must be in the trail, once. */
export interface Acknowledged {
  /** Users registered. */
  readonly registered: Set<string>;
  /** Sessions that sign-ins opened. */
  readonly signedIn: Set<string>;
  /** Generations of the session of each person that refreshes. */
  readonly refreshed: Map<string, number>;
  /** NATS users made. */
  readonly natsUsers: Set<string>;
  /** How often the user that an administrator locks and unlocks was locked. */
  locks: number;
}

/** Traffic of every kind, over every gateway. */
export interface MixedTraffic {
  readonly acknowledged: Acknowledged;
  /** The newest refresh token of each person that refreshes. */
  readonly tokens: ReadonlyMap<string, string>;
  readonly lockedUser: string;
  /** Requests that succeeded. */
  done(): number;
  /** Failures since the last call. */
  failures(): Failure[];
  /** Waits for so many more successes. */
  progress(by: number): Promise<void>;
  stop(): Promise<void>;
}

type Send = (
  what: string,
  path: string,
  options?: { body?: unknown; token?: string },
  // biome-ignore lint/suspicious/noExplicitAny: answers of every route.
) => Promise<any>;

/** A client over all gateways, as a load balancer before them would be that looks at their readiness. */
function clientOf(platform: Platform) {
  const balancer = new Balancer({
    origins: platform.gateways,
    ...{ upstream: 'gateway', service: 'load', log: createLog({ level: 'silent', pretty: false }) },
    metrics: createMetrics({ runtime: false }),
    pool: { ...connectionDefaults, connections: 32, headersTimeout: 20_000 },
  });
  let done = 0;
  const failures: Failure[] = [];
  const send: Send = async (what, path, { body, token } = {}) => {
    const sentAt = performance.now();
    try {
      const answer = await balancer.request({
        path,
        method: body === undefined ? 'GET' : 'POST',
        headers: {
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
        },
        body: body === undefined ? null : JSON.stringify(body),
      });
      const text = await answer.body.text();
      if (answer.statusCode < 300) {
        done += 1;
        return text === '' ? {} : JSON.parse(text);
      }
      failures.push({ what, status: answer.statusCode, code: text, sentAt });
    } catch (error) {
      failures.push({ what, status: 0, code: String((error as { code?: string }).code), sentAt });
    }
    return undefined;
  };
  return {
    send,
    done: () => done,
    failures: () => failures.splice(0, failures.length),
    close: () => balancer.close(),
  };
}

/** Starts the traffic: people who register, sign in, refresh and read, administrators who change users and NATS users. */
export async function startMixedTraffic(platform: Platform, refreshers: number): Promise<MixedTraffic> {
  const client = clientOf(platform);
  const people: Person[] = [];
  for (let index = 0; index < refreshers; index += 1) people.push(await newPerson(platform.api));
  const lockee = await newPerson(platform.api);
  const account = await makeAccount(platform);
  const acknowledged: Acknowledged = {
    registered: new Set(),
    signedIn: new Set(),
    refreshed: new Map(people.map(({ user_id }) => [user_id, 0])),
    natsUsers: new Set(),
    locks: 0,
  };
  const tokens = new Map(people.map(({ user_id, refresh_token }) => [user_id, refresh_token]));
  let stopped = false;
  const lane = async (pauseMs: number, work: () => Promise<unknown>) => {
    while (!stopped) {
      await work();
      await delay(pauseMs);
    }
  };
  const about = { platform, send: client.send, acknowledged, tokens, account, lockee };
  const lanes = [
    ...people.map((person) => lane(20, refreshing(about, person))),
    lane(40, registering(about)),
    lane(40, reading(about)),
    lane(60, administering(about)),
  ];
  return {
    acknowledged,
    tokens,
    lockedUser: lockee.user_id,
    done: client.done,
    failures: client.failures,
    async progress(by) {
      const from = client.done();
      await eventually(() => client.done() >= from + by, 60_000);
    },
    async stop() {
      stopped = true;
      await Promise.all(lanes);
      await client.close();
    },
  };
}

interface Lane {
  readonly platform: Platform;
  readonly send: Send;
  readonly acknowledged: Acknowledged;
  readonly tokens: Map<string, string>;
  readonly account: string;
  readonly lockee: Person;
}

async function makeAccount(platform: Platform): Promise<string> {
  const token = await platform.adminToken();
  const { body } = await platform.api.post('/api/nats/accounts', { name: `load-${Date.now()}` }, { token });
  return body.id;
}

/** A refresh without an answer is tried again with the same token, as a client does. */
function refreshing({ send, acknowledged, tokens }: Lane, { user_id }: Person) {
  return async () => {
    const answer = await send('refresh', '/api/auth/refresh', {
      body: { refresh_token: tokens.get(user_id) },
    });
    if (answer === undefined) return delay(100);
    tokens.set(user_id, answer.refresh_token);
    acknowledged.refreshed.set(user_id, (acknowledged.refreshed.get(user_id) ?? 0) + 1);
  };
}

function registering({ send, acknowledged }: Lane) {
  return async () => {
    const credentials = { email: newEmail(), password: goodPassword };
    const registered = await send('register', '/api/auth/register', { body: credentials });
    if (registered === undefined) return;
    acknowledged.registered.add(registered.user_id);
    const signedIn = await send('login', '/api/auth/login', { body: credentials });
    if (signedIn === undefined) return;
    acknowledged.signedIn.add(signedIn.session_id);
    await send('me', '/api/auth/me', { token: signedIn.access_token });
  };
}

function reading({ platform, send }: Lane) {
  let token: string | undefined;
  return async () => {
    token ??= (await send('login', '/api/auth/login', { body: platform.admin }))?.access_token;
    if (token === undefined) return;
    await send('jwks', '/.well-known/jwks.json');
    await send('sessions', '/api/auth/sessions', { token });
    await send('search', '/api/audit/events?limit=5', { token });
  };
}

function administering({ platform, send, acknowledged, account, lockee }: Lane) {
  let token: string | undefined;
  let made = 0;
  let lock = true;
  return async () => {
    token ??= (await send('login', '/api/auth/login', { body: platform.admin }))?.access_token;
    if (token === undefined) return;
    made += 1;
    const body = { account_id: account, name: `user-${made}` };
    const user = await send('nats user', '/api/nats/users', { body, token });
    if (user !== undefined) {
      acknowledged.natsUsers.add(user.id);
      await send('credentials', `/api/nats/users/${user.id}/credentials`, {
        body: { ttl_seconds: 3600 },
        token,
      });
    }
    const path = `/api/admin/users/${lockee.user_id}/${lock ? 'lock' : 'unlock'}`;
    const changed = await send(lock ? 'lock' : 'unlock', path, { body: { reason: 'load' }, token });
    if (changed === undefined) return;
    if (lock) acknowledged.locks += 1;
    lock = !lock;
  };
}
