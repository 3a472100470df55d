import { spawnSync } from 'node:child_process';
import pg from 'pg';
import { type Fault, keepDoing } from './fault.ts';
import { mode } from './platform.ts';

const age = (days: number) =>
  `update token.signing_key set activated_at = now() - interval '${days} days' where state = 'current'`;

const near: Fault = {
  title: 'the signing key is to be replaced within a week: replaced by hand, everybody stays signed in',
  only: 'one',
  leads: [
    {
      section: 'GatehouseSigningKeyNearRotation',
      cause: [/ RS256 +current /, / RS256 +next /],
      mended: [/ RS256 +previous /, /ok +keys\.signing +\S+ \(RS256\) signs since \d{1,2}/],
    },
  ],
  async inject({ sql }) {
    await sql(age(85));
    return async () => {};
  },
};

const holder = 'somebody-debugging';
const held = new RegExp(`^(\\d+) +${holder} `, 'm');

const overdue: Fault = {
  title: 'the signing key should have been replaced: somebody holds the lock of the keys',
  only: 'one',
  leads: [
    {
      section: 'GatehouseSigningKeyOverdue',
      cause: [/warning +keys\.signing .*does not run/, held],
      mended: [/ok +keys\.signing/, / RS256 +previous /],
      fill: (command, said) => command.replaceAll('<pid>', held.exec(said)?.[1] ?? '<pid>'),
    },
  ],
  async inject({ platform, sql }) {
    const client = new pg.Client({ connectionString: platform.databaseUrl, application_name: holder });
    client.on('error', () => {});
    await client.connect();
    await client.query(
      `begin; select pg_advisory_xact_lock(hashtextextended('gatehouse.token.signing-keys', 0))`,
    );
    await sql(age(91));
    return () => client.end().catch(() => {});
  },
};

const starved: Fault = {
  title: 'a process gets too little of the processor: its event loop is late',
  leads: [
    {
      section: 'GatehouseEventLoopLag',
      cause: [/nodejs_eventloop_lag_p99_seconds.*\} [0-9.]+/],
      mended: [/nodejs_eventloop_lag_p99_seconds.*\} 0\.0\d*$/m],
    },
  ],
  async inject({ platform }) {
    const pid = platform.pidOf(mode === 'one' ? 'all-in-one' : 'token') ?? 0;
    // More than half of the time, and at least once between two scrapes: as a control group throttles it, or a neighbour takes it.
    const stop = keepDoing(
      async () => {
        process.kill(pid, 'SIGSTOP');
        spawnSync('sleep', ['0.4']);
        process.kill(pid, 'SIGCONT');
      },
      1,
      300,
    );
    return async () => {
      await stop();
      process.kill(pid, 'SIGCONT');
    };
  },
};

/** Signing keys whose time has come, and a process that cannot get on. */
export const faultsOfKeys: readonly Fault[] = [near, overdue, starved];
