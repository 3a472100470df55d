import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';
import { findPrometheus, type StartOptions } from '@gatehouse/embedded';
import { eventually } from '@gatehouse/kit/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AlertState, type Alerts, startAlerts } from './alerts.ts';
import { keepDoing } from './fault.ts';
import { mode, type Platform, startPlatform } from './platform.ts';
import type { sectionsOfResources } from './sections-of-settings.ts';
import type { Step } from './symptom-page.ts';
import { openStage, type Stage } from './symptom-stage.ts';

// docs/runbook.md, followed: a process has too little processor for what it is asked, and too little memory.
type Section = (typeof sectionsOfResources)[number];

const prometheus = findPrometheus();
/** Five minutes of a rule are a second here, and its ranges the shortest in which there are two scrapes. */
const FACTOR = 300;
/** Nothing here takes a tenth of it, unless the machine has much else to do. */
const PATIENCE_MS = 90_000;
/** Each hash takes a processor for a fifth of a second: a few guesses a second are enough, if not more get through. */
const settings = {
  ARGON2_MEMORY_KIB: '12288',
  ARGON2_ITERATIONS: '90',
  RATE_LIMIT_ENABLED: 'true',
  RATE_LIMIT_LOGIN_MAX: '1000000',
};
/** More than the one processor does in a second. */
const LANES = 12;
const attacker = '203.0.113.9';

/** Names one processor that this process may use, for `taskset`; undefined where there is none to be had. */
function oneProcessor(): string | undefined {
  const about = '/proc/self/status';
  if (!existsSync(about)) return undefined;
  const first = /^Cpus_allowed_list:\s*(\d+)/m.exec(readFileSync(about, 'utf8'))?.[1];
  return first !== undefined && spawnSync('taskset', ['-c', first, 'true']).status === 0 ? first : undefined;
}

/**
 * One processor and no other for a process. Where that may be asked for, whatever else wants it stands back: sessions
 * share a processor (autogroup), or else threads do (nice), and a busy machine would leave it half of its own.
 */
const pinnedTo = (processor: string) => [
  ...['sh', '-c', '{ echo -10 >/proc/$$/autogroup; } 2>/dev/null; exec nice -n -10 taskset -c "$0" "$@"'],
  processor,
];

/** Whether it may be had whole: first before others, or nobody else wants it. */
function hasItWhole(processor: string): boolean {
  const [command = '', ...args] = pinnedTo(processor);
  const { stdout } = spawnSync(command, [...args, 'nice'], { encoding: 'utf8' });
  return stdout.trim() === '-10' || (loadavg()[0] ?? 0) < availableParallelism();
}

/** A process that does the work of a service: of two the first. */
const processOf = (service: string) => ({ one: 'all-in-one', split: service, scaled: `${service}-1` })[mode];

/** What a process keeps, and a heap that is a little larger. */
const KEPT_MIB = 225;
const HEAP_MIB = 256;

/** Node with so large a heap, most of which stays taken. */
function heapOf(mib: number): StartOptions {
  const kept = new URL(`./kept-heap.ts?mib=${KEPT_MIB}`, import.meta.url);
  // The limit is of what is old and what is new.
  const heap = `--max-old-space-size=${mib} --max-semi-space-size=1`;
  return { env: { NODE_OPTIONS: `${heap} --import=${kept}` } };
}

const processor = oneProcessor();

describe.skipIf(prometheus === undefined)('a process with too little', () => {
  let platform: Platform;
  let alerts: Alerts;
  let stage: Stage;

  beforeAll(async () => {
    if (prometheus === undefined) return;
    platform = await startPlatform({ env: settings });
    alerts = await startAlerts(platform, prometheus, FACTOR);
    stage = await openStage(platform, alerts.url);
  });
  afterAll(async () => {
    await alerts?.close();
    await stage?.close();
    await platform?.close();
  });

  const restart = async (name: string, options?: StartOptions) => {
    await platform.stopService(name);
    await platform.startService(name, options);
  };
  const instanceOf = (name: string) => new URL(platform.urlOf(name)).host;
  /** A line of the page's `ask` about a process. */
  const line = (name: string, value: string) =>
    new RegExp(`"instance":"${instanceOf(name)}".*\\} ${value}$`, 'm');

  const is = (state: AlertState, alert: Section, name: string) =>
    eventually(
      async () => expect(await alerts.state(alert, { instance: instanceOf(name) })).toBe(state),
      PATIENCE_MS,
    );

  /** Runs the commands of a step until they say what they must, as a reader would look again. */
  const says = (section: Section, step: Step, patterns: readonly RegExp[], gone: readonly RegExp[] = []) =>
    eventually(async () => {
      const said = await stage.read(section, step);
      for (const pattern of patterns) expect(said, `${section}, ${step}: ${pattern}`).toMatch(pattern);
      for (const pattern of gone) expect(said, `${section}, ${step}: no ${pattern}`).not.toMatch(pattern);
    }, PATIENCE_MS);

  let tried = 0;
  const guess = () => {
    tried += 1;
    const body = { email: `leaked-${tried}@example.com`, password: 'WrongPassword123' };
    return platform.api.post('/api/auth/login', body, { headers: { 'x-forwarded-for': attacker } });
  };

  it.skipIf(processor === undefined)(
    'GatehouseCpuHigh: passwords are tried from one address, and a limit for one address ends it',
    async ({ skip }) => {
      skip(!hasItWhole(processor ?? ''), 'the machine is busy, and nobody may be put before others here');
      const under = pinnedTo(processor ?? '');
      const env = { MAX_CONCURRENT_HASHES: String(LANES) };
      const auth = processOf('auth');
      if (mode === 'scaled') await platform.stopService('auth-2');
      await restart(auth, { under, env });
      await is('inactive', 'GatehouseCpuHigh', auth);
      const stop = keepDoing(guess, LANES, 200);
      try {
        await is('firing', 'GatehouseCpuHigh', auth);
        await says('GatehouseCpuHigh', 'Cause', [
          line(auth, '(?:0\\.[789]\\d*|1(?:\\.\\d+)?)'),
          /"result":"failure"\} (?!0$)/m,
          /"route":"\/api\/auth\/login"/,
          new RegExp(attacker.replaceAll('.', '\\.')),
          /RATE_LIMIT_LOGIN_MAX +1000000/,
        ]);
        await restart(mode === 'one' ? auth : 'gateway', {
          under,
          env: { ...env, RATE_LIMIT_LOGIN_MAX: '5' },
        });
        await is('inactive', 'GatehouseCpuHigh', auth);
        await says('GatehouseCpuHigh', 'Mended', [
          line(auth, '0\\.[0-6]\\d*'),
          /"result":"rate_limited"\} (?!0$)/m,
        ]);
      } finally {
        await stop();
      }
      if (mode === 'scaled') await platform.startService('auth-2');
    },
    4 * PATIENCE_MS,
  );

  it(
    'GatehouseMemoryHigh: the heap is too small for what a process keeps, and with a larger one it is quiet',
    async () => {
      const audit = processOf('audit');
      await restart(audit);
      await is('inactive', 'GatehouseMemoryHigh', audit);
      await restart(audit, heapOf(HEAP_MIB));
      await is('firing', 'GatehouseMemoryHigh', audit);
      const full = line(audit, '0\\.[89]\\d*');
      await says('GatehouseMemoryHigh', 'Cause', [
        full,
        new RegExp(`gatehouse_heap_limit_bytes".*${line(audit, '27\\d{7}').source}`, 'm'),
      ]);
      await restart(audit, heapOf(4 * HEAP_MIB));
      await is('inactive', 'GatehouseMemoryHigh', audit);
      await says('GatehouseMemoryHigh', 'Mended', [line(audit, '0\\.[2-7]\\d*')], [full]);
    },
    4 * PATIENCE_MS,
  );
});
