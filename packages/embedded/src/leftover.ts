import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** Whether a process of this id exists (a zombie counts as gone). */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) !== 'Z';
  } catch {
    return process.platform !== 'linux';
  }
}

/** The command line of a process, its words joined by blanks; '' when it is gone or not to be read. */
export function commandLineOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
  } catch {
    if (process.platform === 'linux' || process.platform === 'win32') return '';
  }
  try {
    return execFileSync('ps', ['-ww', '-o', 'command=', '-p', String(pid)], { encoding: 'utf8' }).trim();
  } catch {
    return '';
  }
}

/** Waits until the process is gone; false when it still lives after `timeoutMs`. */
export async function waitUntilGone(pid: number, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (isAlive(pid)) {
    if (performance.now() > deadline) return false;
    await delay(10);
  }
  return true;
}

export interface StopPlan {
  /** Sent first: ask for an orderly end. */
  signal: NodeJS.Signals;
  /** How long the orderly end may take before SIGKILL. */
  timeoutMs: number;
}

/** Sends the plan's signal, and SIGKILL to what has not gone in time. */
export async function stopProcess(pid: number, plan: StopPlan): Promise<void> {
  for (const [signal, timeoutMs] of [
    [plan.signal, plan.timeoutMs],
    ['SIGKILL', 5_000],
  ] as const) {
    try {
      process.kill(pid, signal);
    } catch {
      return;
    }
    if (await waitUntilGone(pid, timeoutMs)) return;
  }
}

/**
 * Ends what an earlier, killed run left behind. The pid file is believed only if that process' command line
 * holds `marker` (the home it serves): ids are used again, and a stranger must not be shot.
 */
export async function stopLeftover(pidFile: string, marker: string, plan: StopPlan): Promise<boolean> {
  let pid: number;
  try {
    pid = Number.parseInt(readFileSync(pidFile, 'utf8'), 10);
  } catch {
    return false;
  }
  const ours = Number.isInteger(pid) && pid > 1 && isAlive(pid) && commandLineOf(pid).includes(marker);
  if (ours) await stopProcess(pid, plan);
  rmSync(pidFile, { force: true });
  return ours;
}
