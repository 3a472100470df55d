import { eventually, goodPassword } from '@gatehouse/kit/testing';
import { expect } from 'vitest';
import { type Fault, keepDoing } from './fault.ts';
import { greedyReport, heldUp, withItsProcess } from './greedy-report.ts';
import { expectProblem, mode, newPerson, type Person } from './platform.ts';
import type { Stage } from './symptom-stage.ts';

const ready = /"status":"ready"/;
const healthy = /^healthy$/m;
/** The process of one service, or the one of all. */
const processOf = (service: string) => (mode === 'one' ? 'all-in-one' : service);

const nats: Fault = {
  title: 'NATS is away: a dependency is down, nothing is ready, events wait, the feed is stale',
  leads: [
    {
      section: 'GatehouseDependencyDown',
      labels: { dep: 'nats' },
      cause: [/failed +nats +nothing answers at/, /^nats unhealthy/m],
      mended: [healthy],
    },
    { section: 'GatehouseNotReady', cause: [/"name":"nats","status":"unhealthy"/], mended: [ready] },
    {
      section: 'GatehouseRevocationFeedStale',
      cause: [/token_revocation_feed_stale\{.*\} 1/, /failed +nats/],
      mended: [/token_revocation_feed_stale\{.*\} 0/],
      gone: [/token_revocation_feed_stale\{.*\} 1/],
    },
    {
      section: 'GatehouseOutboxGrowing',
      cause: [
        /failed +outbox +\d+ events? waits? to be published, the oldest for 1[0-9] min/,
        /failed +nats/,
      ],
      mended: [/ok +outbox +nothing waits to be published/],
    },
  ],
  async inject({ platform, sql }) {
    await platform.nats.kill();
    // People go on signing in; what they did waits, for ten minutes by now.
    await newPerson(platform.api);
    await sql(
      `update auth.outbox set occurred_at = occurred_at - interval '10 minutes' where published_at is null`,
    );
    return () => platform.nats.start();
  },
};

const redis: Fault = {
  title: 'Redis is away: limits go on in each process',
  leads: [
    {
      section: 'GatehouseDependencyDown',
      labels: { dep: 'redis' },
      cause: [/failed +redis +nothing answers at/, /^cache degraded/m],
      mended: [healthy],
    },
  ],
  async inject({ platform }) {
    await platform.redis.stop();
    return () => platform.redis.start();
  },
};

const postgres: Fault = {
  title: 'Postgres is away: nobody can sign in, requests end in 503, jobs fail',
  leads: [
    {
      section: 'GatehouseDependencyDown',
      labels: { dep: 'db' },
      cause: [/failed +database +nothing listens at the database address/, /^database unhealthy/m],
      mended: [healthy],
    },
    {
      section: 'GatehouseHighErrorRate',
      cause: [/"route":"\/api\/auth\/login".*"status":"503"/, /failed +database/],
      mended: [healthy],
    },
    {
      section: 'GatehouseJobFailing',
      cause: [/"task":"[a-z-]+"/, /job failed/, /failed +database/],
      mended: [/^\{\} 0$/m],
    },
  ],
  async inject({ platform }) {
    const person = await newPerson(platform.api);
    await platform.postgres.kill();
    const { email } = person;
    const stop = keepDoing(() => platform.api.post('/api/auth/login', { email, password: goodPassword }), 2);
    return async () => {
      await platform.postgres.start();
      await stop();
    };
  },
};

const process: Fault = {
  title: 'a process is killed: it cannot be scraped',
  leads: [
    {
      section: 'GatehouseDown',
      labels: { job: mode === 'one' ? 'gatehouse' : 'gatehouse-token' },
      cause: [mode === 'one' ? /failed +health +.*cannot be reached/ : /^token unhealthy/m],
      mended: [ready],
    },
  ],
  async inject({ platform }) {
    await platform.killService(processOf('token'));
    return () => platform.startService(processOf('token'));
  },
};

/** Who was to be locked when token went away. */
let locked: Person;

const untold: Fault = {
  title: 'token goes away while somebody is locked: it is stored, and in force when token is back',
  only: 'split',
  leads: [
    {
      section: 'A change is stored but not in force',
      labels: false,
      cause: [/^token unhealthy/m, /"cause":"connect ECONNREFUSED 127\.0\.0\.1:\d+"/],
      mended: [/^status +locked$/m],
      gone: [/^token unhealthy/m, /[0-9a-f]{8}-[0-9a-f]{4}-7.* live /],
      fill: (command) => command.replaceAll('ada@example.com', locked.email),
    },
  ],
  async inject(stage) {
    const { platform, gatehouse, sql } = stage;
    locked = await eventually(() => lockWhileTokenGoes(stage), 60_000);
    const { access_token: token, user_id } = locked;
    // Who cannot be told from somebody revoked is not let in, and what they want is not done.
    await eventually(async () => {
      const refused = await platform.api.get('/api/auth/me', { token });
      expectProblem(refused, 503, 'upstream_unavailable');
      expect(refused.body).not.toHaveProperty('stored');
    });
    const version = () => sql('select version from auth.user_account where id = $1', [user_id]);
    return async () => {
      await platform.startService('token');
      // In force without anybody asking again; whoever does changes nothing twice.
      await eventually(async () =>
        expect((await platform.api.get('/api/auth/me', { token })).status).toBe(401),
      );
      const before = await version();
      await gatehouse.done(['admin', 'user', 'lock', '--id', user_id, '--reason', 'once more']);
      expect(await version()).toEqual(before);
    };
  },
};

/** Locks somebody new in the moment in which token is gone and nobody has noticed. @throws when it was over too soon */
async function lockWhileTokenGoes({ platform }: Stage): Promise<Person> {
  const person = await newPerson(platform.api);
  const token = await platform.adminToken();
  const path = `/api/admin/users/${person.user_id}`;
  // auth has seen the token before: it need not ask for keys.
  expect((await platform.api.get(path, { token })).status).toBe(200);
  await platform.killService('token');
  const answer = await platform.api.post(`${path}/lock`, { reason: 'left' }, { token });
  if (answer.body.stored !== true) await platform.startService('token');
  expectProblem(answer, 503, 'upstream_unavailable');
  expect(answer.body.stored, answer.text).toBe(true);
  return person;
}

const lock: Fault = {
  title: 'somebody’s report holds a lock: connections run out, answers take long',
  leads: [
    {
      section: 'GatehouseDatabasePoolExhausted',
      labels: { service: 'auth' },
      cause: [/"service":"auth","state":"waiting"\} [1-9]/, heldUp],
      mended: [/ok +database\.locks +nobody waits for a lock/],
      fill: withItsProcess,
    },
    {
      section: 'GatehouseLatencyP95High',
      labels: { route: '/api/auth/me' },
      cause: [/"route":"\/api\/auth\/me"\} [1-9]/],
      mended: [/ok +database\.locks +nobody waits for a lock/],
    },
    {
      section: 'GatehouseSignInSlow',
      cause: [heldUp],
      mended: [/ok +database\.locks +nobody waits for a lock/],
    },
    {
      section: 'GatehouseLatencyP99High',
      labels: { route: '/api/auth/me' },
      cause: [/"route":"\/api\/auth\/me","service":"auth"\} [1-9]/],
      mended: [/ok +database\.locks +nobody waits for a lock/],
    },
  ],
  async inject({ platform }: Stage) {
    const { access_token: token, email } = await newPerson(platform.api);
    const stopReport = await greedyReport(platform.databaseUrl, 'auth.user_account');
    // More than the pool has, but less than twice: who waits has a turn when the report lets go, and no 503.
    const stopAsking = keepDoing(() => platform.api.get('/api/auth/me', { token }), 9);
    const password = goodPassword;
    // A sign-in meets the lock more than once: with several, some end within every range of the rule.
    const stopSigningIn = keepDoing(() => platform.api.post('/api/auth/login', { email, password }), 5);
    return async () => {
      await stopReport();
      await stopSigningIn();
      await stopAsking();
    };
  },
};

/** Parts of the platform that go away, and somebody who takes the database for themselves. */
export const faultsOfParts: readonly Fault[] = [nats, redis, lock, postgres, process, untold];
