import { setTimeout as delay } from 'node:timers/promises';
import type { Installation } from '@gatehouse/embedded';
import { hash } from '@node-rs/argon2';
import {
  type BenchOptions,
  type Measurement,
  onInstallation,
  type Person,
  people,
  post,
  query,
} from './bench.ts';
import { costBetween, type Reading, readMeters } from './meter.ts';
import type { Figure } from './report.ts';

/** What one kind of request is: `times` of them are made, `lanes` at a time. */
interface Kind {
  readonly name: string;
  readonly times: number;
  readonly lanes: number;
  readonly make: (index: number) => Promise<unknown>;
}

/** After the start everything is compiled and looked at for the first time. */
const WARM_UP_SECONDS = 15;
const IDLE_SECONDS = 10;

/**
 * What a thousand requests of each kind cost every part of an installation of two instances a service: processor time,
 * statements, flushes, bytes. Until audit has everything, and without what the installation costs when nobody asks.
 * Passwords are hashed cheaply, so that the rest shows; what a hash costs as shipped is a row of its own.
 */
export const cost: Measurement = async (options) => {
  const env = { ARGON2_MEMORY_KIB: '1024', ARGON2_ITERATIONS: '1', LOG_LEVEL: 'info' };
  return onInstallation({ mode: 'scaled', natsMonitor: true, env }, async (installation) => {
    const figures: Figure[] = [await costOfHash()];
    const idle = await idleCost(installation, options);
    for (const kind of await kindsOf(installation)) {
      const spent = await costOf(installation, kind, idle);
      options.say(`  ${kind.name}: ${spoken(spent)}`);
      figures.push(figureOf(kind.name, spent));
    }
    return figures;
  });
};

async function costOfHash(): Promise<Figure> {
  const hashes = 20;
  const before = process.cpuUsage();
  for (let made = 0; made < hashes; made += 1)
    await hash('StrongPassword123', { memoryCost: 65_536, timeCost: 3, parallelism: 1 });
  const { user, system } = process.cpuUsage(before);
  return figureOf('password hashes as shipped', { 'cpu auth': (user + system) / hashes });
}

async function idleCost(installation: Installation, { say }: BenchOptions): Promise<Reading> {
  await delay(WARM_UP_SECONDS * 1000);
  await settled(installation);
  const before = await readMeters(installation);
  await delay(IDLE_SECONDS * 1000);
  const spent = costBetween(before, await readMeters(installation), { perSecond: {}, seconds: 0 });
  const perSecond = Object.fromEntries(
    Object.entries(spent).map(([name, value]) => [name, value / IDLE_SECONDS]),
  );
  say(`cost of a second without requests: ${spoken(perSecond)}`);
  return perSecond;
}

async function costOf(installation: Installation, kind: Kind, perSecond: Reading): Promise<Reading> {
  await settled(installation);
  const before = await readMeters(installation);
  const begun = performance.now();
  let next = 0;
  const lane = async () => {
    while (next < kind.times) await kind.make(next++);
  };
  await Promise.all(Array.from({ length: kind.lanes }, lane));
  await settled(installation);
  const seconds = (performance.now() - begun) / 1000;
  const spent = costBetween(before, await readMeters(installation), { perSecond, seconds });
  return Object.fromEntries(
    Object.entries(spent).map(([name, value]) => [name, (value * 1000) / kind.times]),
  );
}

/** Waits until every event is published and recorded. */
async function settled(installation: Installation): Promise<void> {
  for (let quiet = 0; quiet < 3; ) {
    const [row] = await query<{ waiting: string }>(
      installation,
      ['auth', 'token', 'audit', 'gateway', 'natsid']
        .map((schema) => `(select count(*) from ${schema}.outbox where published_at is null)`)
        .join(' + ')
        .replace(/^/, 'select ')
        .concat(' as waiting'),
    );
    quiet = Number(row?.waiting) === 0 ? quiet + 1 : 0;
    await delay(300);
  }
}

async function kindsOf(installation: Installation): Promise<Kind[]> {
  const { url, admin } = installation;
  const crowd = await people(url, 16);
  const person = (index: number) => crowd[index % crowd.length] as Person;
  const { access_token: token } = (await post(url, '/api/auth/login', admin)) as Person;
  const { id: account } = (await post(url, '/api/nats/accounts', { name: 'cost' }, token)) as { id: string };
  const { id: natsUser } = (await post(
    url,
    '/api/nats/users',
    { account_id: account, name: 'one' },
    token,
  )) as {
    id: string;
  };
  const { user_id: subject } = (await get(url, '/api/auth/me', person(0).access_token)) as {
    user_id: string;
  };
  const refreshTokens = crowd.map(({ refresh_token }) => refresh_token);
  const register = (index: number) => {
    const email = `cost-${process.pid}-${index}@example.com`;
    return post(url, '/api/auth/register', { email, password: 'StrongPassword123' });
  };
  return [
    { name: 'registration, without its hash', times: 1_000, lanes: 8, make: register },
    {
      name: 'sign-in, without its hash',
      times: 1_000,
      lanes: 8,
      make: (index) => {
        const { email, password } = person(index);
        return post(url, '/api/auth/login', { email, password });
      },
    },
    { name: 'refresh', times: 2_000, lanes: 8, make: refreshing(url, refreshTokens) },
    {
      name: 'protected read (me)',
      times: 2_000,
      lanes: 8,
      make: (index) => get(url, '/api/auth/me', person(index).access_token),
    },
    { name: 'JWKS', times: 4_000, lanes: 8, make: () => get(url, '/.well-known/jwks.json') },
    {
      name: 'own sessions',
      times: 1_000,
      lanes: 8,
      make: (index) => get(url, '/api/auth/sessions', person(index).access_token),
    },
    {
      name: 'audit search, newest 50',
      times: 500,
      lanes: 4,
      make: () => get(url, '/api/audit/events', token),
    },
    {
      name: 'administrator’s change (role)',
      times: 200,
      lanes: 1,
      make: (index) =>
        post(
          url,
          `/api/admin/users/${subject}/role`,
          { role: index % 2 === 0 ? 'ADMIN' : 'USER', reason: 'cost' },
          token,
        ),
    },
    {
      name: 'NATS user made',
      times: 500,
      lanes: 4,
      make: (index) => post(url, '/api/nats/users', { account_id: account, name: `user-${index}` }, token),
    },
    {
      name: 'NATS credentials issued',
      times: 500,
      lanes: 4,
      make: () => post(url, `/api/nats/users/${natsUser}/credentials`, { ttl_seconds: 3_600 }, token),
    },
  ];
}

/** Each takes a token that nobody else is spending, and gives back its successor. */
function refreshing(url: string, tokens: string[]): () => Promise<void> {
  return async () => {
    const refresh_token = tokens.shift();
    const answer = (await post(url, '/api/auth/refresh', { refresh_token })) as { refresh_token: string };
    tokens.push(answer.refresh_token);
  };
}

async function get(url: string, path: string, token?: string): Promise<unknown> {
  const answer = await fetch(new URL(path, url), {
    headers: token ? { authorization: `Bearer ${token}` } : {},
  });
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}`);
  return answer.json();
}

const processes = (spent: Reading): [string, number][] =>
  Object.entries(spent)
    .filter(([name, value]) => name.startsWith('cpu ') && value >= 0.5)
    .map(([name, value]) => [name.slice(4), value]);

const whole = (value: number): string => String(Math.round(value)).replace(/\B(?=(\d{3})+(?!\d))/g, ' ');

const spokenCpu = (spent: Reading): string =>
  processes(spent)
    .map(([name, value]) => `${name} ${whole(value)}`)
    .join(', ');

function spoken(spent: Reading): string {
  const { statements = 0, walBytes = 0, walFlushes = 0, rowBytes = 0, auditRows = 0, auditBytes = 0 } = spent;
  const { natsMessages = 0, natsBytes = 0, redisCommands = 0 } = spent;
  const kib = (bytes: number) => `${whole(bytes / 1024)} KiB`;
  return [
    `ms ${spokenCpu(spent)}`,
    `${whole(statements)} statements`,
    `${kib(walBytes)} WAL in ${whole(walFlushes)} flushes`,
    `${kib(rowBytes)} database, ${kib(auditBytes)} of it audit in ${whole(auditRows)} rows`,
    `${whole(natsMessages)} messages, ${kib(natsBytes)} in`,
    `${whole(redisCommands)} Redis commands`,
  ].join(' · ');
}

function figureOf(name: string, spent: Reading): Figure {
  const total = processes(spent).reduce((sum, [, value]) => sum + value, 0);
  const value = `${whole(total)} ms of processor`;
  return { what: `a thousand of: ${name}`, value, raw: spoken(spent), ratio: undefined, bar: '', met: true };
}
