import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { findFreePort, type Installation, repositoryRoot } from '@gatehouse/embedded';
import { type Measurement, onInstallation } from './bench.ts';
import { median } from './histogram.ts';
import { ms } from './report.ts';

const starts = 5;
const idleSeconds = 20;

/** Start-up of the services alone (everything else is up, nothing to migrate) and their memory when idle. */
export const footprint: Measurement = async ({ say }) => {
  say('footprint');
  return onInstallation({}, async (installation) => {
    await installation.stopService('all-in-one');
    const times: number[] = [];
    let megabytes = Number.NaN;
    for (let round = 0; round < starts; round += 1) {
      const last = round === starts - 1;
      const seen = await startOnce(installation, last ? idleSeconds : 0);
      times.push(seen.startMs);
      if (last) megabytes = seen.megabytes;
    }
    const start = median(times);
    say(`  start ${ms(start)}, memory ${Math.round(megabytes)} MB`);
    return [
      {
        what: 'start of the services, to /health/ready',
        value: ms(start),
        raw: '',
        ratio: undefined,
        bar: '≤ 1.5 s',
        met: start <= 1500,
      },
      {
        what: `memory of the one process, idle for ${idleSeconds} s`,
        value: `${Math.round(megabytes)} MB`,
        raw: '',
        ratio: undefined,
        bar: '≤ 250 MB',
        met: megabytes <= 250,
      },
    ];
  });
};

async function startOnce(
  installation: Installation,
  idle: number,
): Promise<{ startMs: number; megabytes: number }> {
  const port = await findFreePort();
  const begun = performance.now();
  const child = spawn(process.execPath, [join(repositoryRoot, 'services/all-in-one/src/main.ts')], {
    env: { PATH: process.env.PATH, ...installation.env, PORT: String(port) },
    stdio: 'ignore',
  });
  const ready = async () =>
    (await fetch(`http://127.0.0.1:${port}/health/ready`).catch(() => undefined))?.status === 200;
  while (!(await ready())) {
    if (child.exitCode !== null) throw new Error(`the services ended with ${child.exitCode}`);
    await delay(5);
  }
  const startMs = performance.now() - begun;
  await delay(idle * 1000);
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8');
  const megabytes = Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await gone;
  return { startMs, megabytes };
}
